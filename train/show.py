"""A network as a table: what each layer gives, learns and computes. From shapes alone, so it costs nothing."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core as jex

from ..models.core import Contract, count

OUTSIDE = "(outside layers)"


class Layer(NamedTuple):
    """A row of the table, for one example."""

    name: str  # the layer's path: "body/conv1"
    output: tuple[int, ...]  # shape without the batch
    parameters: int
    multiply_adds: int  # of matrix products and convolutions, forward
    output_bytes: int


def layers(model: Contract, spec) -> list[Layer]:
    """The layers of a network for a batch `spec` [B, ...], in the order in which they compute.

    They are the named scopes of its program, so a Flax Linen module shows its layers as well; what is in none (an NNX
    module) is one row. Raises what the network raises for an input that does not fit.
    """
    params, state = jax.eval_shape(model.init, jax.random.key(0), spec)
    program = trace(model, params, state, spec, train=True)
    groups: dict[str, list] = {}
    outer = {_scope(equation).split("/")[0] for equation in program.eqns}
    around = outer.pop() if len(outer) == 1 and not outer & set(params) else ""  # Linen's, the name of the class
    for equation in program.eqns:
        groups.setdefault(_scope(equation).removeprefix(around).removeprefix("/"), []).append(equation)
    rows = []
    for name, equations in groups.items():
        own = _parameters(params, name)
        outputs = _outputs(equations, program)
        if outputs or own:
            shape = outputs[-1].aval.shape if outputs else ()
            size = sum(o.aval.size * o.aval.dtype.itemsize for o in outputs) // spec.shape[0]
            work = sum(map(_work, equations)) // spec.shape[0]
            rows.append(Layer(name or OUTSIDE, tuple(shape[1:]), own, work, size))
    unclaimed = count(params) - sum(row.parameters for row in rows)
    return [row._replace(parameters=row.parameters + unclaimed) if row.name == OUTSIDE else row for row in rows]


def multiply_adds(model: Contract, spec) -> int:
    """Multiply-adds of the matrix products and convolutions in one forward pass of a batch `spec`."""
    params, state = jax.eval_shape(model.init, jax.random.key(0), spec)
    return sum(map(_work, trace(model, params, state, spec, train=False).eqns))


def trace(model: Contract, params, state, spec, train: bool) -> Any:
    """The program of a forward pass, a jaxpr."""

    def forward(params, state, x, key):
        return model.apply(params, state, x, key=key, train=train)[0]

    return jax.make_jaxpr(forward)(params, state, spec, jax.random.key(0)).jaxpr


def table(model: Contract, spec, title: str) -> str:
    """The table as text, with totals; sizes are those of float32."""
    rows = layers(model, spec)
    params, _ = jax.eval_shape(model.init, jax.random.key(0), spec)
    total = count(params)
    header = ("layer", "output", "parameters", "multiply-adds", "output memory")
    cells = [("input", _shape(spec.shape[1:]), "", "", size_text(math.prod(spec.shape[1:]) * 4))]
    cells += [
        (r.name, _shape(r.output), f"{r.parameters:,}", f"{r.multiply_adds:,}", size_text(r.output_bytes)) for r in rows
    ]
    work, memory = sum(r.multiply_adds for r in rows), sum(r.output_bytes for r in rows)
    cells.append(("total", "", f"{total:,}", f"{work:,}", size_text(memory)))
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = ["  ".join(f"{c:<{w}}" if i < 2 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True)))
             for row in (header, *cells)]  # fmt: skip
    rule = "-" * len(lines[0])
    return "\n".join(
        [title, "", lines[0], rule, *lines[1:-1], rule, lines[-1], "",
         f"For one example, forward. The parameters take {size_text(total * 4)}; with Adam {size_text(total * 16)}."]
    )  # fmt: skip


def size_text(size: float) -> str:
    """1,024 bytes are 1.0 KiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024 or unit == "PiB":
            return f"{size:.0f} B" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError


def _shape(shape) -> str:
    return " x ".join(map(str, shape)) or "1"


def _scope(equation) -> str:
    return str(equation.source_info.name_stack)


def _parameters(params, scope: str) -> int:
    """Parameters right at a scope: those of its sub-layers have rows of their own."""
    for part in scope.split("/") if scope else []:
        params = params.get(part, {}) if isinstance(params, dict) else {}
    return sum(leaf.size for leaf in params.values() if not isinstance(leaf, dict)) if isinstance(params, dict) else 0


def _outputs(equations, program) -> list:
    """The numbers of these equations that others use, or that the network returns."""
    mine = {id(equation) for equation in equations}
    used = {id(v) for v in program.outvars}
    used |= {id(v) for equation in program.eqns if id(equation) not in mine for v in equation.invars}
    return [v for equation in equations for v in equation.outvars if id(v) in used and v.aval.ndim]


def _work(equation) -> int:
    """Multiply-adds of an equation and the programs inside it. Of branches the least: they are forms of one layer."""
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return equation.outvars[0].aval.size * math.prod(equation.invars[0].aval.shape[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval, params["dimension_numbers"]
        return equation.outvars[0].aval.size * kernel.size // kernel.shape[numbers.rhs_spec[0]]
    inner = [sum(map(_work, program.eqns)) for program in _programs(params)]
    if name == "cond":
        return min(inner)
    return sum(inner) * params.get("length", 1) if inner else 0


def _programs(params) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, jex.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, jex.Jaxpr):
                yield item


def spec_of(shape: tuple[int, ...], tokens: bool = False) -> jax.ShapeDtypeStruct:
    """A batch of examples of that shape: two, since batch normalisation needs more than one."""
    return jax.ShapeDtypeStruct((2, *shape), jnp.int32 if tokens else jnp.float32)
