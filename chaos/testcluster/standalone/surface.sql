-- Turns Aurora's SQL surface into RDS for PostgreSQL's, which drivers tell apart by these names.
SET allow_system_table_mods = on;

DO $$
DECLARE
    found regprocedure;
BEGIN
    FOR found IN SELECT oid FROM pg_catalog.pg_proc
                 WHERE (proname LIKE 'aurora\_%' OR proname LIKE 'get\_blue\_green\_%')
                   AND pronamespace = 'pg_catalog'::regnamespace
    LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', found);
    END LOOP;
END
$$;

CREATE OR REPLACE VIEW pg_catalog.pg_settings AS
SELECT * FROM pg_catalog.pg_show_all_settings()
UNION ALL
SELECT 'rds.extensions', 'pg_stat_statements,pgcrypto,plpgsql,rds_tools', NULL,
       'Customized Options', 'Extensions that the service offers.', NULL, 'internal', 'string',
       'default', NULL, NULL, NULL, NULL, NULL, NULL, NULL, false;
