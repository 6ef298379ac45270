//! The insecure development set: powers of a secret that everybody can compute.

use super::{NUM_G1_POWERS, NUM_G2_POWERS};
use crate::Scalar;
use crate::batch_affine::{INFINITY, normalize};
use crate::g1::{G1Point, generator_affine};
use blst::{
    blst_p1_affine, blst_p2, blst_p2_affine, blst_p2_affine_generator, blst_p2_from_affine, blst_p2_mult,
    blst_p2_to_affine,
};
use rayon::prelude::*;

/// Its BLAKE3 hash is the secret (top two bits cleared).
const LABEL: &str = "autonomys-farmer INSECURE development KZG secret, known to everybody";

/// BLAKE3 of the blob form; a test computes it.
pub(super) const BLOB_BLAKE3: [u8; 32] = [
    0x95, 0xd0, 0xf3, 0x3a, 0xd9, 0x47, 0x20, 0x65, 0xf1, 0x68, 0x2e, 0xe5, 0x30, 0xbe, 0xf4, 0xfc, 0x3a,
    0x33, 0x58, 0x11, 0xa5, 0xd1, 0xaa, 0xf3, 0xe6, 0xaf, 0xdd, 0xa2, 0x2d, 0x76, 0xe1, 0x65,
];

/// Powers computed by one task and normalised together.
const CHUNK: usize = 512;

pub(super) fn generate(pool: &rayon::ThreadPool) -> (Vec<blst_p1_affine>, Vec<blst_p2_affine>) {
    let secret = secret();
    let mut powers = Vec::with_capacity(NUM_G1_POWERS);
    let mut power = Scalar::ONE;
    for _ in 0..NUM_G1_POWERS {
        powers.push(power);
        power *= secret;
    }
    let multiples = generator_multiples();
    let mut g1_powers = vec![INFINITY; NUM_G1_POWERS];
    pool.install(|| {
        g1_powers
            .par_chunks_mut(CHUNK)
            .zip(powers.par_chunks(CHUNK))
            .for_each(|(output, powers)| {
                let points = powers
                    .iter()
                    .map(|power| multiply_generator(&multiples, power))
                    .collect::<Vec<_>>();
                output.copy_from_slice(&normalize(&points));
            });
    });
    let g2_powers = powers[..NUM_G2_POWERS]
        .iter()
        .map(multiply_g2_generator)
        .collect();
    (g1_powers, g2_powers)
}

fn secret() -> Scalar {
    let mut bytes = *blake3::hash(LABEL.as_bytes()).as_bytes();
    bytes[0] &= 0b0011_1111;
    Scalar::try_from_bytes(&bytes).expect("a number below 2^254 is below the modulus; qed")
}

/// `d · 2^(8 w) · G1` at `255 w + d - 1` for the 32 byte positions `w` and `d` from 1 to 255.
fn generator_multiples() -> Vec<blst_p1_affine> {
    let mut multiples = Vec::with_capacity(32 * 255);
    let mut base = G1Point::from_affine(&generator_affine());
    for _ in 0..32 {
        let mut multiple = base;
        for _ in 0..255 {
            multiples.push(multiple);
            multiple.add_assign(&base);
        }
        base = multiple;
    }
    normalize(&multiples)
}

fn multiply_generator(multiples: &[blst_p1_affine], scalar: &Scalar) -> G1Point {
    let mut sum = G1Point::IDENTITY;
    for (window, digit) in scalar.to_little_endian().into_iter().enumerate() {
        if digit > 0 {
            sum.add_affine_assign(&multiples[255 * window + usize::from(digit) - 1]);
        }
    }
    sum
}

fn multiply_g2_generator(scalar: &Scalar) -> blst_p2_affine {
    let bytes = scalar.to_little_endian();
    let mut result = blst_p2_affine::default();
    // SAFETY: the scalar has 32 readable bytes for 255 bits; all other pointers are to live points.
    unsafe {
        let mut generator = blst_p2::default();
        let mut point = blst_p2::default();
        blst_p2_from_affine(&mut generator, blst_p2_affine_generator());
        blst_p2_mult(&mut point, &generator, bytes.as_ptr(), 255);
        blst_p2_to_affine(&mut result, &point);
    }
    result
}
