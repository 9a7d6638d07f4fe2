-- Aurora's SQL surface, as far as Aurora-aware drivers look. Installed in template1, so every
-- database has it. Commands end at ";" before an empty line: no function body may hold that.
-- Columns: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/ (aurora_replica_status).

CREATE ROLE rds_superuser NOLOGIN;

GRANT pg_monitor, pg_signal_backend TO rds_superuser;

-- Whose members authenticate with IAM tokens, where the cluster lets tokens in.
CREATE ROLE rds_iam NOLOGIN;

-- Identity belongs to the process while data are replicated: the name is a start-up setting.
CREATE FUNCTION pg_catalog.aurora_db_instance_identifier() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT pg_catalog.current_setting('cluster_name') $$;

CREATE FUNCTION pg_catalog.aurora_version() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) || '.0' $$;

-- The control plane writes each node its own topology file, beside the node's configuration file.
CREATE FUNCTION pg_catalog.aurora_replica_status(
    OUT server_id text, OUT session_id text, OUT durable_lsn bigint, OUT highest_lsn_rcvd bigint,
    OUT current_read_lsn bigint, OUT cur_replay_latency_in_usec integer, OUT active_txns integer,
    OUT is_current boolean, OUT last_transport_error integer,
    OUT last_error_timestamp timestamptz, OUT last_update_timestamp timestamptz,
    OUT feedback_xmin bigint, OUT feedback_epoch integer, OUT replica_lag_in_msec double precision,
    OUT log_stream_speed_in_kib_per_second double precision, OUT log_buffer_sequence_number integer,
    OUT oldest_read_view_trx_id integer, OUT oldest_read_view_lsn bigint,
    OUT pending_read_ios integer, OUT read_ios integer, OUT iops integer, OUT cpu double precision)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
WITH here AS (
    SELECT pg_is_in_recovery() AS is_reader,
           current_setting('cluster_name') AS id,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                ELSE pg_current_wal_lsn() END AS lsn
), members AS (
    SELECT member ->> 'id' AS id, member ->> 'session' AS session
    FROM jsonb_array_elements(
        pg_read_file(regexp_replace(current_setting('config_file'), '[^/]+$', 'topology.json'))::jsonb
    ) AS member
)
SELECT members.id,
       members.session,
       (CASE WHEN members.session = 'MASTER_SESSION_ID' THEN here.lsn - '0/0'::pg_lsn END)::bigint,
       (CASE WHEN members.session <> 'MASTER_SESSION_ID'
             THEN coalesce(stream.write_lsn, here.lsn) - '0/0'::pg_lsn END)::bigint,
       (CASE WHEN members.session <> 'MASTER_SESSION_ID'
             THEN coalesce(stream.replay_lsn, here.lsn) - '0/0'::pg_lsn END)::bigint,
       (CASE WHEN members.session <> 'MASTER_SESSION_ID'
             THEN coalesce(1000000 * extract(epoch FROM stream.replay_lag), 0) END)::integer,
       NULL::integer,
       true,
       0,
       NULL::timestamptz,
       CASE WHEN members.id = here.id THEN NULL::timestamptz ELSE clock_timestamp() END,
       NULL::bigint,
       NULL::integer,
       CASE WHEN members.session <> 'MASTER_SESSION_ID'
            THEN coalesce(1000 * extract(epoch FROM stream.replay_lag), 0)::double precision END,
       NULL::double precision, NULL::integer, NULL::integer, NULL::bigint,
       NULL::integer, NULL::integer, NULL::integer,
       0.0::double precision
FROM here CROSS JOIN members
LEFT JOIN pg_stat_replication AS stream ON stream.application_name = members.id
$$;

-- The control plane writes this file for members of a global cluster alone; without it both functions
-- are empty, which is what drivers test.
CREATE FUNCTION pg_catalog.aurora_global_db_file() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
SELECT coalesce(
    pg_read_file(regexp_replace(current_setting('config_file'), '[^/]+$', 'global.json'),
                 0, 1000000, true)::jsonb,
    '{"regions": [], "instances": []}')
$$;

CREATE FUNCTION pg_catalog.aurora_global_db_status(
    OUT aws_region text, OUT highest_lsn_written bigint, OUT durability_lag_in_msec double precision,
    OUT rpo_lag_in_msec double precision, OUT last_lag_calculation_time timestamptz,
    OUT feedback_epoch bigint, OUT feedback_xmin bigint)
RETURNS SETOF record LANGUAGE sql STABLE
AS $$
SELECT region ->> 'region',
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
             ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn)::bigint,
       (region ->> 'lag_ms')::float8, (region ->> 'lag_ms')::float8, clock_timestamp(), 0, 0
FROM jsonb_array_elements(pg_catalog.aurora_global_db_file() -> 'regions') AS region
$$;

CREATE FUNCTION pg_catalog.aurora_global_db_instance_status(
    OUT server_id text, OUT session_id text, OUT aws_region text, OUT durable_lsn bigint,
    OUT highest_lsn_rcvd bigint, OUT feedback_epoch bigint, OUT feedback_xmin bigint,
    OUT oldest_read_view_lsn bigint, OUT visibility_lag_in_msec double precision)
RETURNS SETOF record LANGUAGE sql STABLE
AS $$
SELECT member ->> 'id',
       CASE WHEN (member ->> 'is_writer')::boolean THEN 'MASTER_SESSION_ID'
            ELSE md5(member ->> 'id')::uuid::text END,
       member ->> 'region', NULL::bigint, NULL::bigint, 0::bigint, 0::bigint, NULL::bigint,
       (member ->> 'lag_ms')::float8
FROM jsonb_array_elements(pg_catalog.aurora_global_db_file() -> 'instances') AS member
$$;

-- There are no blue/green deployments and no shard groups: both are empty, which is what drivers test.
CREATE FUNCTION pg_catalog.get_blue_green_fast_switchover_metadata(
    client text, OUT version text, OUT endpoint text, OUT port integer, OUT role text,
    OUT status text)
RETURNS SETOF record LANGUAGE sql STABLE
AS $$ SELECT NULL::text, NULL::text, NULL::integer, NULL::text, NULL::text WHERE false $$;

CREATE FUNCTION pg_catalog.aurora_limitless_router_endpoints(
    OUT router_endpoint text, OUT load double precision)
RETURNS SETOF record LANGUAGE sql STABLE
AS $$ SELECT NULL::text, NULL::float8 WHERE false $$;

-- Kills the calling backend as a crash would; the server then ends every session with SQLSTATE
-- 57P02 and itself, and the control plane restarts it in place, without a failover.
CREATE FUNCTION pg_catalog.aurora_inject_crash(component text DEFAULT 'instance') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
    IF lower(component) NOT IN ('instance', 'dispatcher', 'node') THEN
        RAISE EXCEPTION 'invalid crash type "%"', component
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use instance, dispatcher or node.';
    END IF;
    COPY (SELECT) TO PROGRAM 'kill -KILL $PPID';
    RETURN 'done';
END
$$;

REVOKE EXECUTE ON FUNCTION pg_catalog.aurora_inject_crash(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION pg_catalog.aurora_inject_crash(text) TO rds_superuser;

-- The other faults are asked of the control plane, by a file that it looks for beside the node's
-- configuration file. Syntax: AuroraPostgreSQL.Managing.FaultInjectionQueries.
CREATE FUNCTION pg_catalog.aurora_inject_request(request jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    path text := regexp_replace(current_setting('config_file'), '[^/]+$', 'requests/')
        || pg_backend_pid() || '-' || (1000000 * extract(epoch FROM clock_timestamp()))::bigint || '.json';
BEGIN
    EXECUTE format('COPY (SELECT %L) TO %L', request::text, path);
    RETURN 'done';
END
$$;

CREATE FUNCTION pg_catalog.aurora_inject_check(percentage double precision, seconds integer)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
BEGIN
    IF percentage IS NULL OR NOT percentage BETWEEN 0 AND 100 THEN
        RAISE EXCEPTION 'percentage of failure must be between 0 and 100, not %', percentage
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF seconds IS NULL OR seconds <= 0 THEN
        RAISE EXCEPTION 'the time of the simulation must be a positive number of seconds, not %', seconds
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

-- Aurora shows how much of its shared storage there is; here the numbers only bound an index.
CREATE FUNCTION pg_catalog.aurora_show_volume_status(OUT disks integer, OUT nodes integer)
RETURNS SETOF record LANGUAGE sql IMMUTABLE
AS $$ SELECT 96, 45 $$;

CREATE FUNCTION pg_catalog.aurora_inject_check_index(index integer, is_disk boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
    highest integer := (SELECT CASE WHEN is_disk THEN disks ELSE nodes END - 1
                        FROM aurora_show_volume_status());
BEGIN
    IF is_disk IS NULL OR index IS NULL OR NOT index BETWEEN 0 AND highest THEN
        RAISE EXCEPTION 'there is no % with index %',
                CASE WHEN is_disk THEN 'disk' ELSE 'storage node' END, index
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('The maximum index value is %s.', highest);
    END IF;
END
$$;

CREATE FUNCTION pg_catalog.aurora_inject_replica_failure(
    percentage_of_failure double precision, time_interval integer, replica_name text)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
    PERFORM aurora_inject_check(percentage_of_failure, time_interval);
    IF replica_name IS NULL OR replica_name <> '' AND NOT EXISTS (
        SELECT FROM aurora_replica_status()
        WHERE server_id = lower(replica_name) AND session_id <> 'MASTER_SESSION_ID')
    THEN
        RAISE EXCEPTION 'there is no Aurora Replica "%"', replica_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'See the column server_id of aurora_replica_status().';
    END IF;
    RETURN aurora_inject_request(jsonb_build_object(
        'fault', 'replica-failure', 'percent', percentage_of_failure, 'seconds', time_interval,
        'replica', lower(replica_name)));
END
$$;

CREATE FUNCTION pg_catalog.aurora_inject_disk_failure(
    percentage_of_failure double precision, index integer, is_disk boolean, quantity integer)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
    PERFORM aurora_inject_check(percentage_of_failure, quantity);
    PERFORM aurora_inject_check_index(index, is_disk);
    RETURN aurora_inject_request(jsonb_build_object(
        'fault', 'disk-failure', 'percent', percentage_of_failure, 'seconds', quantity));
END
$$;

CREATE FUNCTION pg_catalog.aurora_inject_disk_congestion(
    percentage_of_failure double precision, index integer, is_disk boolean, quantity integer,
    minimum double precision, maximum double precision)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
    PERFORM aurora_inject_check(percentage_of_failure, quantity);
    PERFORM aurora_inject_check_index(index, is_disk);
    IF minimum IS NULL OR maximum IS NULL OR NOT (0 <= minimum AND minimum < maximum AND maximum <= 100)
    THEN
        RAISE EXCEPTION 'minimum and maximum are milliseconds between 0.0 and 100.0, and the maximum '
                'must be greater than the minimum'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN aurora_inject_request(jsonb_build_object(
        'fault', 'disk-congestion', 'percent', percentage_of_failure, 'seconds', quantity,
        'minimum_ms', minimum, 'maximum_ms', maximum));
END
$$;

REVOKE EXECUTE ON FUNCTION
    pg_catalog.aurora_inject_request(jsonb),
    pg_catalog.aurora_inject_replica_failure(double precision, integer, text),
    pg_catalog.aurora_inject_disk_failure(double precision, integer, boolean, integer),
    pg_catalog.aurora_inject_disk_congestion(
        double precision, integer, boolean, integer, double precision, double precision)
FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
    pg_catalog.aurora_inject_replica_failure(double precision, integer, text),
    pg_catalog.aurora_inject_disk_failure(double precision, integer, boolean, integer),
    pg_catalog.aurora_inject_disk_congestion(
        double precision, integer, boolean, integer, double precision, double precision)
TO rds_superuser;

-- A custom setting is never listed in pg_settings, where every driver looks for this one.
CREATE OR REPLACE VIEW pg_catalog.pg_settings AS
SELECT * FROM pg_catalog.pg_show_all_settings()
UNION ALL
SELECT 'rds.extensions', 'aurora_stat_utils,pg_stat_statements,pgcrypto,plpgsql', NULL,
       'Customized Options', 'Extensions that the service offers.', NULL, 'internal', 'string',
       'default', NULL, NULL, NULL, NULL, NULL, NULL, NULL, false;

