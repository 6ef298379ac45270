//! Conversions between curve types and the byte types of the protocol.

use crate::{Commitment, PointError, Scalar, ScalarError, Witness};
use subspace_core_primitives::pieces::{ChunkWitness, RecordCommitment, RecordWitness, ScalarBytes};
use subspace_core_primitives::segments::SegmentCommitment;

macro_rules! point_conversions {
    ($($point:ident => $bytes:ident),*) => {$(
        impl From<$point> for $bytes {
            fn from(point: $point) -> Self {
                Self::from(point.to_bytes())
            }
        }

        impl From<&$point> for $bytes {
            fn from(point: &$point) -> Self {
                Self::from(point.to_bytes())
            }
        }

        impl TryFrom<&$bytes> for $point {
            type Error = PointError;

            fn try_from(bytes: &$bytes) -> Result<Self, PointError> {
                Self::try_from_bytes(&bytes.0)
            }
        }

        impl TryFrom<$bytes> for $point {
            type Error = PointError;

            fn try_from(bytes: $bytes) -> Result<Self, PointError> {
                Self::try_from_bytes(&bytes.0)
            }
        }
    )*};
}

point_conversions! {
    Commitment => RecordCommitment,
    Commitment => SegmentCommitment,
    Witness => RecordWitness,
    Witness => ChunkWitness
}

impl From<Scalar> for ScalarBytes {
    fn from(scalar: Scalar) -> Self {
        Self(scalar.to_bytes())
    }
}

impl From<&Scalar> for ScalarBytes {
    fn from(scalar: &Scalar) -> Self {
        Self(scalar.to_bytes())
    }
}

impl TryFrom<&ScalarBytes> for Scalar {
    type Error = ScalarError;

    fn try_from(bytes: &ScalarBytes) -> Result<Self, ScalarError> {
        Self::try_from_bytes(&bytes.0)
    }
}

impl TryFrom<ScalarBytes> for Scalar {
    type Error = ScalarError;

    fn try_from(bytes: ScalarBytes) -> Result<Self, ScalarError> {
        Self::try_from_bytes(&bytes.0)
    }
}
