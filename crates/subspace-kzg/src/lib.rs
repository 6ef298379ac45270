//! KZG commitments over BLS12-381: field, transforms, commitments, witnesses, reference strings.
//!
//! The rules are in `docs/protocol/kzg.md`. Everything here is synchronous and runs on the calling thread; the functions
//! that can use several cores say so by taking a [`rayon::ThreadPool`].
//!
//! * [`Scalar`]: field element; [`transform`]: discrete Fourier transforms over the nested domains `w_n`.
//! * [`Arithmetic`]: transforms and more on many scalars with chosen instructions; [`Columns`]: many short transforms.
//! * [`Polynomial`]: coefficient form; [`Polynomial::interpolate`] goes from values to coefficients.
//! * [`reference_string`]: the structured reference string (mainnet or an insecure one for development), its import.
//! * [`Kzg`]: commit, create witnesses (one, or all of a small polynomial at once), verify, batch verification.

mod arithmetic;
mod batch_affine;
mod columns;
mod commitment_batch;
mod conversions;
#[cfg(target_arch = "x86_64")]
mod float_products;
mod g1;
mod kzg;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod msm;
mod opening_batch;
mod pairing;
mod point_combinations;
mod polynomial;
mod product_tree;
#[cfg(target_arch = "x86_64")]
mod quads;
mod scalar;
mod simd;
mod table_store;
mod witnesses;

pub mod group_transform;
pub mod reference_string;
pub mod transform;

pub use arithmetic::Arithmetic;
pub use columns::Columns;
pub use commitment_batch::{CommitmentBatch, CommitmentBatchError};
pub use g1::{Commitment, G1Point, PointError, Witness};
pub use kzg::{Kzg, KzgError};
pub use opening_batch::Opening;
pub use point_combinations::PointCombinations;
pub use polynomial::Polynomial;
pub use reference_string::ReferenceString;
pub use scalar::{Scalar, ScalarError};
pub use simd::{SIMD_ENVIRONMENT_VARIABLE, SimdLevel};
pub use table_store::{RebuildReason, TableStoreError, TablesOrigin};
