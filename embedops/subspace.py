"""Orthonormal subspaces of embedding space: the one projection that every plugin uses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from embedops.errors import ConfigError

_LARGEST_CONDITION = 1e4
"""Largest to smallest singular value, up to which squaring them costs nothing in float32."""


@dataclass(frozen=True, eq=False)
class Subspace:
    """An orthonormal basis of a subspace of embedding space.

    Row-vector convention: `basis` is `[rank, dim]` in float32, `x` is `[..., dim]`, and the
    projector `P = basisᵀ basis` is applied as two thin products, never as a `dim × dim` matrix.
    Results come back in the dtype of `x`; the arithmetic is float32 or better.
    """

    basis: Tensor

    @classmethod
    def span(cls, vectors: Tensor, *, rank: int | None = None, tolerance: float = 1e-6) -> Subspace:
        """The span of the rows of `vectors` `[count, dim]`, rank-revealing.

        In float64 on the CPU: the matrices are small, and there LAPACK is exact and fast whatever
        the model's dtype. Few, clearly independent rows go by the Cholesky factor of their Gram
        matrix, several times faster; anything else by a QR of the thin side and an SVD of the
        triangular factor, which resolve what squaring would lose. Directions whose singular value
        is below `tolerance` times the largest are left out.

        Args:
            vectors: `[count, dim]`; `count` may be 0, which gives the zero subspace.
            rank: keep at most this many directions, the dominant ones.
            tolerance: relative cut-off; 1e-6 is above what rounding to float32 leaves behind and
                far below the directions that carry meaning.

        Raises:
            ConfigError: `vectors` is not a matrix, holds NaN or infinity, or `rank` is below 1.
        """
        if vectors.ndim != 2:
            raise ConfigError(
                f"a subspace is spanned by the rows of a matrix [count, dim]; got shape "
                f"{tuple(vectors.shape)}. Reshape the vectors to two dimensions."
            )
        if rank is not None and rank < 1:
            raise ConfigError(f"rank must be at least 1, got {rank}. Leave it out to keep all.")
        device = vectors.device
        exact = vectors.detach().to("cpu", torch.float64)
        if rank is None and tolerance < 1 / _LARGEST_CONDITION:
            basis = _independent_rows(exact)
            if basis is not None:
                return cls(basis.to(device, torch.float32))
        if not bool(torch.isfinite(exact).all()):
            raise ConfigError(
                "the vectors that span a subspace hold NaN or infinity. Check the text encoder's "
                "output: half precision overflows in some encoders; bfloat16 or float32 does not."
            )
        if exact.shape[0] == 0 or not bool(exact.any()):
            return cls(torch.zeros(0, exact.shape[1], device=device))
        if exact.shape[0] < exact.shape[1]:
            columns, triangle = torch.linalg.qr(exact.T)
            left, values, _ = torch.linalg.svd(triangle, full_matrices=False)
            directions = (columns @ left).T
        else:
            _, values, directions = torch.linalg.svd(exact, full_matrices=False)
        kept = int((values > tolerance * values[0]).sum())
        if rank is not None:
            kept = min(kept, rank)
        return cls(directions[:kept].to(device, torch.float32).contiguous())

    @property
    def rank(self) -> int:
        return self.basis.shape[0]

    @property
    def dim(self) -> int:
        return self.basis.shape[1]

    def to(self, device: torch.device | str) -> Subspace:
        """The same subspace with its basis on `device`."""
        moved = self.basis.to(device)
        return self if moved is self.basis else Subspace(moved)

    def project(self, x: Tensor) -> Tensor:
        """`x P`: the part of `x` `[..., dim]` inside the subspace."""
        exact, basis = self.matched(x)
        return (exact @ basis.T @ basis).to(x.dtype)

    def reject(self, x: Tensor) -> Tensor:
        """`x (I − P)`: the part of `x` `[..., dim]` orthogonal to the subspace."""
        return self._outside(x).to(x.dtype)

    def distance(self, x: Tensor) -> Tensor:
        """`‖x (I − P)‖₂` for `x` `[..., dim]`: float32 (or float64) `[...]`, in `x`'s units."""
        length: Tensor = torch.linalg.vector_norm(self._outside(x), dim=-1)
        return length

    def union(self, other: Subspace) -> Subspace:
        """The smallest subspace that holds both."""
        self._check_width(other.dim, "the other subspace")
        return Subspace.span(torch.cat([self.basis, other.basis.to(self.basis.device)]))

    def principal_angles(self, other: Subspace) -> Tensor:
        """Angles in radians between the two, smallest first: `[min(rank, other.rank)]`.

        The cosines are the singular values of `basis · otherᵀ` (Björck and Golub, 1973). Where the
        cosine exceeds 1/√2 the angle is taken from the sine instead, which is accurate there.
        """
        self._check_width(other.dim, "the other subspace")
        a, b = self.basis.double().cpu(), other.basis.double().cpu()
        if a.shape[0] < b.shape[0]:
            a, b = b, a
        cosines = torch.linalg.svdvals(a @ b.T).clamp(max=1.0)
        sines = torch.linalg.svdvals(b - (b @ a.T) @ a).clamp(max=1.0).flip(0)
        return torch.where(cosines**2 > 0.5, torch.asin(sines), torch.acos(cosines)).float()

    def matched(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x` in float32 or better, and `basis` in that dtype and on `x`'s device.

        Raises:
            ConfigError: `x` is of another width.
        """
        self._check_width(x.shape[-1], "the vectors")
        exact = x if x.dtype in (torch.float32, torch.float64) else x.float()
        return exact, self.basis.to(exact.device, exact.dtype)

    def _outside(self, x: Tensor) -> Tensor:
        exact, basis = self.matched(x)
        if exact.ndim != 2:
            return self._outside(exact.reshape(-1, self.dim)).reshape(exact.shape)
        # One call: the part inside is subtracted by the product itself, and never written out.
        return torch.addmm(exact, exact @ basis.T, basis, alpha=-1)

    def _check_width(self, got: int, what: str) -> None:
        if got != self.dim:
            raise ConfigError(
                f"{what} have width {got}, this subspace has width {self.dim}: they come from "
                f"different text encoders. Build the subspace from the encoder that you edit."
            )

    def __repr__(self) -> str:
        return f"Subspace(rank={self.rank}, dim={self.dim})"


def _independent_rows(rows: Tensor) -> Tensor | None:
    """An orthonormal basis of the span of clearly independent `rows`; None where they are not.

    `L⁻¹ X` with `X Xᵀ = L Lᵀ`, orthonormal up to float64's rounding times `κ(X)²`: within
    float32's for the condition numbers admitted. The Cholesky factor's diagonal can look harmless
    where `X` is nearly singular, so `κ(X)` is bounded by `‖L‖ ‖L⁻¹‖` in the Frobenius norm, with
    `‖L‖² = tr(X Xᵀ)`. Rounding apart, that is never too small, and at most `count` times too
    large: some independent rows go the longer way.
    """
    count, dim = rows.shape
    if not 0 < count < dim:
        return None
    gram = rows @ rows.T
    factor, failed = torch.linalg.cholesky_ex(gram)
    if failed:
        return None
    identity = torch.eye(count, dtype=rows.dtype)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    bound = math.sqrt(gram.trace()) * float(torch.linalg.vector_norm(inverse))
    # NaN and infinity in a row are in the trace too, and fail this comparison.
    if not bound < _LARGEST_CONDITION:
        return None
    # One product with the small inverse: a triangular solve of all columns takes twice as long.
    basis: Tensor = inverse @ rows
    return basis
