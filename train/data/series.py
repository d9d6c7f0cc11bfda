"""Series for forecasting: a CSV with a time column, cut into windows of history and what follows them."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import UserError, nearest
from .examples import Windows
from .ragged import NO_RULE, Fill, filled
from .raw import check_memory
from .split import Splits
from .table import number, open_csv

SUNSPOTS_TIME = "YEAR"
RULES = "--data.fill previous or zero says what to put there."
ZONE = re.compile(r"(?<=[T ])(.*?)(Z|[+-]\d\d(?::?\d\d)?)$")  # at the end of a time of day


class Series(NamedTuple):
    """Numbers at times, in their own units."""

    values: np.ndarray  # [L, K] float32
    names: tuple[str, ...]  # of the K series
    times: list[str]  # [L], as the file has them


class Cut(NamedTuple):
    """A series in examples."""

    x: Windows  # [N, window, K] history
    y: Windows  # [N, horizon, K] what follows
    splits: Splits
    trained: int  # steps that training examples hold, the first of the series


def read_series(path: Path, time: str, fill: Fill, names: tuple[str, ...] = ()) -> Series:
    """The columns `names` of a CSV (all but `time`), in the order of time. A finished run, whose rule stands, gives
    `names`.

    UserError, naming the line, for times that are neither numbers nor dates or do not ascend, and for values that are
    no numbers; missing values, and missing rows of times that are else at even steps, are refused or filled by the
    rule `fill`. UserError too for a column that float32 cannot tell from a constant.
    """
    mend = NO_RULE if names else RULES
    with open_csv(path) as (header, rows):
        if time not in header:
            raise UserError(
                f"The file {path} has no column '{time}'.{nearest(time, header)} It has {', '.join(header)}."
            )
        names = names or tuple(name for name in header if name != time)
        if missing := [name for name in names if name not in header]:
            raise UserError(f"The file {path} has no column '{missing[0]}'.{nearest(missing[0], header)}")
        if not names:
            raise UserError(f"The file {path} has no column beside the time '{time}'.")
        places, place = [header.index(name) for name in names], header.index(time)
        times, moments, values = list[str](), list[Any](), []
        for line, row in rows:
            times.append(row[place].strip())
            values.append([_number(path, line, name, row[i]) for name, i in zip(names, places, strict=True)])
            if fill in ("", "skip") and (gaps := np.isnan(values[-1])).any():
                name = names[gaps.argmax()]
                raise UserError(f"Line {line} of {path}, column '{name}': the value is missing. {mend}")
            moments = [*moments[-1:], _moment(f"Line {line} of {path}", times[-1])]
            if len(times) > 1:
                _check_order(f"Line {line} of {path}", times[-2:], moments)
    if not values:
        raise UserError(f"The file {path} has a header and no rows.")
    exact = np.array(values)
    if mend == RULES:
        _check_precision(path, exact, names)
    series = Series(exact.astype(np.float32), names, times)
    if fill != "skip":
        series = _with_missing_rows(path, series, fill, mend)
    return series._replace(values=filled(series.values, fill, str(path), mend))


def _check_precision(path: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    """values [L, K] float64. UserError where rounding to float32 takes a visible part of how a column varies."""
    errors = np.abs(values.astype(np.float32) - values)
    for name, column, error in zip(names, values.T, errors.T, strict=True):
        column, error = column[~np.isnan(column)], error[~np.isnan(column)]
        if len(column) and error.max() > 0.01 * column.std() > 0:
            raise UserError(
                f"{path}: the column '{name}' varies by {np.ptp(column):.2g} around {column.mean():.6g}, too little "
                "for float32: subtract a constant from it."
            )


def _with_missing_rows(path: Path, series: Series, fill: Fill, mend: str) -> Series:
    """The series with a row of NaN at each time that it lacks at even steps. UserError, naming the first such time,
    without a rule."""
    even = _even_steps(series.times)
    if even is None or even.number[-1] + 1 == len(series.times):
        return series
    number, count = even.number, int(even.number[-1]) + 1
    if not fill:
        row = int((np.diff(number) > 1).argmax())
        keep = "" if mend == NO_RULE else " --data.fill skip takes the rows that there are as neighbours."
        raise UserError(
            f"{path} has no row for the time {even.after(row, 1)}, and its rows are else at even steps "
            f"({count - len(number):,} missing in all). {mend}{keep}"
        )
    check_memory(count * (64 + 4 * len(series.names)), f"{path} with its {count - len(number):,} missing rows")
    values = np.full((count, len(series.names)), np.nan, np.float32)
    values[number] = series.values
    last = np.repeat(np.arange(len(number)), np.diff(number, append=count))  # the row before each step, or at it
    times = [
        series.times[row] if number[row] == step else even.after(row, step - int(number[row]))
        for step, row in enumerate(last.tolist())
    ]
    return Series(values, series.names, times)


def sunspots() -> Series:
    """The yearly numbers of sunspots, 1700 to 2008, as the package statsmodels carries them (of the Royal Observatory
    of Belgium). Only its file is read."""
    package = importlib.util.find_spec("statsmodels")
    if package is None or package.origin is None:
        raise UserError("The sunspots come with the extra `series`: pip install 'purezoo[series]'.")
    path = Path(package.origin).parent / "datasets" / "sunspots" / "sunspots.csv"
    return read_series(path, SUNSPOTS_TIME, "")


def windows(series: Series, window: int, horizon: int, test: float, validation: float, what: str) -> Cut:
    """Every window of history with the horizon behind it. The last part of the series, a fraction `test`, is the test,
    the part before it, the fraction `validation` of the rest, the validation: no example's future lies in two splits.

    UserError where a split would have no example, and for a column that is constant in the training part.
    """
    steps = len(series.values)
    tested = steps - round(test * steps)
    trained = tested - round(validation * tested)
    begins = np.arange(max(0, steps - window - horizon + 1))
    first, last = begins + window, begins + window + horizon  # of the future, the last excluded
    splits = {"train": begins[last <= trained]}
    if validation:
        splits["validation"] = begins[(first >= trained) & (last <= tested)]
    splits["test"] = begins[first >= tested]
    if empty := [name for name, rows in splits.items() if not len(rows)]:
        raise UserError(
            f"{what} has {steps} steps, too few for a {empty[0]} split with --data.window {window} and --data.horizon "
            f"{horizon}: choose smaller ones."
        )
    still = np.ptp(series.values[:trained], axis=0) == 0
    if still.any():
        raise UserError(
            f"{what}: the column '{series.names[still.argmax()]}' holds {series.values[0, still.argmax()]:g} in all "
            f"{trained} steps to train on: there is nothing to learn."
        )
    future = Windows(series.values[window:], horizon, 1)
    splits = {name: rows.astype(np.int32) for name, rows in splits.items()}
    return Cut(Windows(series.values, window, 1), future, splits, trained)


def times_after(times: list[str], horizon: int) -> list[str]:
    """The `horizon` times after those, where they are at even steps: numbers or dates; else +1, +2, ..."""
    even = _even_steps(times)
    if even is None or even.number[-1] + 1 != len(times):
        return [f"+{h + 1}" for h in range(horizon)]
    return [even.after(len(times) - 1, h + 1) for h in range(horizon)]


class Even(NamedTuple):
    """Times at even steps, of which some may be missing."""

    number: np.ndarray  # [L] integers, the steps since the first time
    moments: np.ndarray  # [L] numbers or dates
    step: Any
    show: Callable[[Any], str]

    def after(self, row: int, n: int) -> str:
        """The time `n` steps after that of the row."""
        return self.show(self.moments[row] + n * self.step)


def _even_steps(times: list[str]) -> Even | None:
    """Times whose gaps are whole multiples of one that makes up most of them, as numbers, months, or dates in their own
    unit, from days to fractions of a second; else None."""
    as_written, month = _as_written(times), "-01" if times[0].count("-") == 2 else ""
    readings: tuple[tuple[Callable, Callable], ...] = (
        (_compact_dates, lambda date: re.sub(r"\D", "", str(date))),
        (_numbers, lambda number: f"{number:.14g}"),
        (_months, lambda date: f"{date}{month}"),
        (_dates, as_written),
    )
    for parse, show in readings:
        moments = parse(times)
        if moments is None or len(moments) < 2:
            continue
        gaps = np.diff(moments)
        step = np.sort(gaps)[len(gaps) // 2]  # the median is the commonest gap, where that makes up most of them
        ratio = gaps.astype(float) / max(step.astype(float), 1e-300)
        whole = np.rint(ratio)
        multiples = whole.min() >= 1 and whole.sum() < 2**53 and np.abs(ratio - whole).max() < 1e-3
        if multiples and np.mean(whole == 1) > 0.5:
            return Even(np.append(0, np.cumsum(whole.astype(int))), moments, step, show)
    return None


def _numbers(times: list[str]) -> np.ndarray | None:
    try:
        return np.array(times, float)
    except ValueError:
        return None


def _months(times: list[str]) -> np.ndarray | None:
    """Of dates that all are the first of a month, or have no day."""
    dates = _dates(times)
    if dates is None:
        return None
    months = dates.astype("datetime64[M]")
    return months if (months.astype(dates.dtype) == dates).all() else None


def _compact_dates(times: list[str]) -> np.ndarray | None:
    """Of dates without separators, from months to seconds: 202401, 20240131, 2024013112, ... of the years 1500 to 2199:
    the others are rather numbers."""
    length = len(times[0])
    if any(len(time) != length or not re.fullmatch(r"(1[5-9]|2[01])\d\d(\d\d){1,5}", time) for time in times):
        return None
    parts = [[time[:4], *(time[i : i + 2] for i in range(4, length, 2))] for time in times]
    return _dates(["-".join(part[:3]) + ("T" + ":".join(part[3:]) if part[3:] else "") for part in parts])


def _dates(times: list[str]) -> np.ndarray | None:
    """In the finest unit that is among them."""
    try:
        return np.array([time.removesuffix(_zone(time)) for time in times], "datetime64")
    except ValueError:
        return None


def _as_written(times: list[str]) -> Callable[[Any], str]:
    """How a date is shown: as those are, with T or a space before the time of day, and with their time zone."""
    space, zone = " " in times[0], _zone(times[0])
    return lambda date: str(date).replace("T", " " if space else "T") + zone


def _zone(time: str) -> str:
    """Z, +02:00, or none."""
    found = ZONE.search(time)
    return found.group(2) if found else ""


def _moment(where: str, time: str) -> Any:
    """A number or a date, to compare a time by."""
    try:
        if np.isfinite(number := float(time)):
            return number
    except ValueError:
        pass
    try:
        if re.match(r"\d{4}", time):
            return np.datetime64(time.removesuffix(_zone(time)))
    except ValueError:
        pass
    raise UserError(
        f"{where}: the time '{time}' is neither a number nor a date such as 2024-01, 2024-01-31 or 2024-01-31T12:30."
    )


def _check_order(where: str, times: list[str], moments: list[Any]) -> None:
    """UserError where the second time does not come after the first, or is of another kind."""
    before, after = moments
    if isinstance(before, float) != isinstance(after, float):  # 2020 and 2020-02 are both dates
        dates = _dates(times)
        if dates is None:
            raise UserError(f"{where}: of the times {times[0]} and {times[1]} one is a number and one a date.")
        before, after = dates
    if _zone(times[0]) != _zone(times[1]):
        raise UserError(f"{where}: the time {times[1]} has another time zone than {times[0]}: give all in one.")
    if not after > before:
        raise UserError(f"{where}: the time {times[1]} does not come after {times[0]}.")


def _number(path: Path, line: int, name: str, cell: str) -> float:
    """NaN for an empty cell."""
    try:
        value = number(cell) if cell.strip() else np.nan
    except ValueError:
        raise UserError(f"Line {line} of {path}, column '{name}': '{cell}' is no number.") from None
    if np.isinf(value) or abs(value) > 3e38:
        raise UserError(f"Line {line} of {path}, column '{name}': infinite, or too large for float32.")
    return value
