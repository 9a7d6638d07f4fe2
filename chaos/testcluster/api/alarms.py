"""CloudWatch's operations on metric alarms, each a function of a Region's monitoring and parameters.

An alarm watches one metric. Kinds of alarms that the test cluster has not got (metric math, anomaly
detection, composite) are refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chaos.testcluster.api.cloudwatch import (
    Operation,
    Result,
    dimensions_of,
    instant,
    metric_of,
    require_statistic,
)
from chaos.testcluster.api.selection import Parameters, following
from chaos.testcluster.metrics.alarms import (
    Alarm,
    AlarmSpec,
    HistoryItem,
    TooManyAlarms,
    UnknownAlarm,
)
from chaos.testcluster.metrics.judgement import (
    ALARM,
    COMPARISONS,
    INSUFFICIENT_DATA,
    OK,
    TREATMENTS,
    Judgement,
    Rule,
)
from chaos.testcluster.metrics.monitoring import Monitoring
from chaos.testcluster.metrics.statistics import MINUTE_S, SIMPLE
from chaos.testcluster.metrics.store import KEPT_S
from chaos.testcluster.records import ApiError

RECORDS_MAX = 100
RECORDS_DEFAULT = 50
ALARM_PERIODS_S = (10, 20, 30)

_NUMBER_MAX = 10**12 - 1
_ACTIONS = {"OKActions": OK, "AlarmActions": ALARM, "InsufficientDataActions": INSUFFICIENT_DATA}
_READ = frozenset(
    {
        *_ACTIONS,
        "ActionsEnabled",
        "AlarmDescription",
        "AlarmName",
        "ComparisonOperator",
        "DatapointsToAlarm",
        "Dimensions",
        "EvaluationPeriods",
        "ExtendedStatistic",
        "MetricName",
        "Namespace",
        "Period",
        "Statistic",
        "Threshold",
        "TreatMissingData",
        "Unit",
    }
)


def put_metric_alarm(monitoring: Monitoring, parameters: Parameters) -> Result:
    """PutMetricAlarm, of a threshold for one metric."""
    refused = sorted(name for name, value in parameters.items() if name not in _READ and value)
    if refused:
        raise _invalid(f"The test cluster does not offer {', '.join(refused)} in PutMetricAlarm.")
    for name in ("MetricName", "Namespace", "Period", "EvaluationPeriods", "Threshold"):
        if name not in parameters:
            raise _invalid(f"The parameter {name} is required.")
    if "ComparisonOperator" not in parameters:
        raise _invalid("The parameter ComparisonOperator is required.")
    statistics = [parameters[n] for n in ("Statistic", "ExtendedStatistic") if n in parameters]
    if len(statistics) != 1:
        raise _invalid("Exactly one of Statistic and ExtendedStatistic must be given.")
    spec = AlarmSpec(
        name=parameters["AlarmName"],
        metric=metric_of(parameters),
        statistic=statistics[0],
        compute=require_statistic(statistics[0], "ValidationError"),
        period_s=_period(parameters),
        unit=parameters.get("Unit"),
        rule=_rule(parameters),
        description=parameters.get("AlarmDescription"),
        is_acting=parameters.get("ActionsEnabled", True),
        actions={state: tuple(parameters.get(name, ())) for name, state in _ACTIONS.items()},
    )
    try:
        monitoring.alarms.put(spec)
    except TooManyAlarms as error:
        raise ApiError("LimitExceeded", f"{error} in the test cluster.") from error
    return {}


def describe_alarms(monitoring: Monitoring, parameters: Parameters) -> Result:
    """DescribeAlarms; there are no composite and no log alarms."""
    if "AlarmNames" in parameters and "AlarmNamePrefix" in parameters:
        raise _invalid("AlarmNames and AlarmNamePrefix must not be given both.")
    is_none = "MetricAlarm" not in parameters.get("AlarmTypes", ["MetricAlarm"])
    if is_none or {"ChildrenOfAlarmName", "ParentsOfAlarmName"} & set(parameters):
        return {"MetricAlarms": [], "CompositeAlarms": []}
    names = parameters.get("AlarmNames")
    found = [
        (alarm.spec.name, _shown(monitoring, alarm))
        for alarm in monitoring.alarms.alarms()
        if (names is None or alarm.spec.name in names)
        and alarm.spec.name.startswith(parameters.get("AlarmNamePrefix", ""))
        and parameters.get("StateValue", alarm.state) == alarm.state
        and _acts(alarm, parameters.get("ActionPrefix"))
    ]
    shown, token = _page(found, parameters)
    return {"MetricAlarms": shown, "CompositeAlarms": [], "NextToken": token}


def describe_alarms_for_metric(monitoring: Monitoring, parameters: Parameters) -> Result:
    """DescribeAlarmsForMetric."""
    metric = metric_of(parameters)
    statistic = parameters.get("Statistic", parameters.get("ExtendedStatistic"))
    return {
        "MetricAlarms": [
            _shown(monitoring, alarm)
            for alarm in monitoring.alarms.alarms()
            if alarm.spec.metric == metric
            and statistic in {None, alarm.spec.statistic}
            and parameters.get("Period", alarm.spec.period_s) == alarm.spec.period_s
            and parameters.get("Unit", alarm.spec.unit) == alarm.spec.unit
        ]
    }


def set_alarm_state(monitoring: Monitoring, parameters: Parameters) -> Result:
    """SetAlarmState, until the next evaluation."""
    data = parameters.get("StateReasonData", "")
    if data:
        try:
            json.loads(data)
        except ValueError as error:
            raise ApiError("InvalidFormat", "StateReasonData is not valid JSON.") from error
    judgement = Judgement(parameters["StateValue"], parameters["StateReason"])
    try:
        monitoring.alarms.set_state(parameters["AlarmName"], judgement, data)
    except UnknownAlarm as error:
        raise ApiError("ResourceNotFound", f"Alarm {error} does not exist") from error
    return {}


def delete_alarms(monitoring: Monitoring, parameters: Parameters) -> Result:
    """DeleteAlarms: all of them, or none if one does not exist."""
    try:
        monitoring.alarms.delete(parameters["AlarmNames"])
    except UnknownAlarm as error:
        raise ApiError("ResourceNotFound", f"Alarm {error} does not exist") from error
    return {}


def describe_alarm_history(monitoring: Monitoring, parameters: Parameters) -> Result:
    """DescribeAlarmHistory, the newest first unless told otherwise."""
    ascending = parameters.get("ScanBy") == "TimestampAscending"
    start = parameters["StartDate"].timestamp() if "StartDate" in parameters else 0.0
    end = parameters["EndDate"].timestamp() if "EndDate" in parameters else float("inf")
    is_none = "MetricAlarm" not in parameters.get("AlarmTypes", ["MetricAlarm"])
    items = [
        item
        for item in ([] if is_none else monitoring.alarms.history())
        if parameters.get("AlarmName", item.alarm) == item.alarm
        and parameters.get("HistoryItemType", item.kind) == item.kind
        and start <= item.at_s <= end
    ]
    keyed = [
        (f"{item.number if ascending else _NUMBER_MAX - item.number:012}", _shown_item(item))
        for item in items
    ]
    shown, token = _page(keyed, parameters)
    return {"AlarmHistoryItems": shown, "NextToken": token}


def enable_alarm_actions(monitoring: Monitoring, parameters: Parameters) -> Result:
    """EnableAlarmActions; a name without an alarm is no error."""
    monitoring.alarms.enable_actions(parameters["AlarmNames"], is_acting=True)
    return {}


def disable_alarm_actions(monitoring: Monitoring, parameters: Parameters) -> Result:
    """DisableAlarmActions; a name without an alarm is no error."""
    monitoring.alarms.enable_actions(parameters["AlarmNames"], is_acting=False)
    return {}


ALARM_OPERATIONS: Mapping[str, Operation] = {
    "DeleteAlarms": delete_alarms,
    "DescribeAlarmHistory": describe_alarm_history,
    "DescribeAlarms": describe_alarms,
    "DescribeAlarmsForMetric": describe_alarms_for_metric,
    "DisableAlarmActions": disable_alarm_actions,
    "EnableAlarmActions": enable_alarm_actions,
    "PutMetricAlarm": put_metric_alarm,
    "SetAlarmState": set_alarm_state,
}


def _period(parameters: Parameters) -> int:
    period: int = parameters["Period"]
    if period not in ALARM_PERIODS_S and period % MINUTE_S:
        raise _invalid(f"Period {period} is invalid: it must be 10, 20, 30 or a multiple of 60.")
    span_s = period * parameters["EvaluationPeriods"]
    if span_s > KEPT_S:
        raise _invalid(
            f"EvaluationPeriods * Period is {span_s} s; the test cluster keeps metrics for "
            f"{KEPT_S} s."
        )
    return period


def _rule(parameters: Parameters) -> Rule:
    comparison = parameters["ComparisonOperator"]
    if comparison not in COMPARISONS:
        raise _invalid(
            f"The test cluster does not offer {comparison}, which needs an anomaly detector."
        )
    rule = Rule(
        threshold=parameters["Threshold"],
        comparison=comparison,
        periods=parameters["EvaluationPeriods"],
        datapoints=parameters.get("DatapointsToAlarm"),
        treat_missing=parameters.get("TreatMissingData", "missing"),
    )
    if rule.treat_missing not in TREATMENTS:
        raise _invalid(f"TreatMissingData must be one of {', '.join(TREATMENTS)}.")
    if rule.needed > rule.periods:
        raise _invalid("DatapointsToAlarm must be less than or equal to EvaluationPeriods.")
    return rule


def _page(items: list[tuple[str, Any]], parameters: Parameters) -> tuple[list[Any], str | None]:
    size = parameters.get("MaxRecords", RECORDS_DEFAULT)
    try:
        return following(items, parameters.get("NextToken"), min(size, RECORDS_MAX))
    except ValueError as error:
        raise ApiError("InvalidNextToken", f"The NextToken is invalid: {error}") from error


def _acts(alarm: Alarm, prefix: str | None) -> bool:
    if prefix is None:
        return True
    return any(a.startswith(prefix) for actions in alarm.spec.actions.values() for a in actions)


def _shown(monitoring: Monitoring, alarm: Alarm) -> dict[str, Any]:
    spec = alarm.spec
    kind = "Statistic" if spec.statistic in SIMPLE else "ExtendedStatistic"
    return {
        "AlarmName": spec.name,
        "AlarmArn": f"arn:aws:cloudwatch:{monitoring.region}:{monitoring.account}:alarm:{spec.name}",
        "AlarmDescription": spec.description,
        "AlarmConfigurationUpdatedTimestamp": instant(alarm.configured_s),
        "ActionsEnabled": spec.is_acting,
        **{name: list(spec.actions.get(state, ())) for name, state in _ACTIONS.items()},
        "StateValue": alarm.state,
        "StateReason": alarm.reason,
        "StateReasonData": alarm.data or None,
        "StateUpdatedTimestamp": instant(alarm.updated_s),
        "StateTransitionedTimestamp": instant(alarm.transitioned_s),
        "MetricName": spec.metric.name,
        "Namespace": spec.metric.namespace,
        kind: spec.statistic,
        "Dimensions": dimensions_of(spec.metric),
        "Period": spec.period_s,
        "Unit": spec.unit,
        "EvaluationPeriods": spec.rule.periods,
        "DatapointsToAlarm": spec.rule.datapoints,
        "Threshold": spec.rule.threshold,
        "ComparisonOperator": spec.rule.comparison,
        "TreatMissingData": spec.rule.treat_missing,
    }


def _shown_item(item: HistoryItem) -> dict[str, Any]:
    return {
        "AlarmName": item.alarm,
        "AlarmType": "MetricAlarm",
        "Timestamp": instant(item.at_s),
        "HistoryItemType": item.kind,
        "HistorySummary": item.summary,
        "HistoryData": item.data,
    }


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationError", message)
