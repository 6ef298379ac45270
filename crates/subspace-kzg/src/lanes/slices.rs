//! Element by element arithmetic on slices of scalars.

use super::fr8::{self, Fr8, add, canonical, mul, normalize, products, reduce};
use super::layout::{LANES, load, load_encoded, load_factor, store};
use super::{Token, factor};
use crate::{Scalar, ScalarError};
use std::arch::x86_64::{_mm512_mask_blend_epi64, _mm512_or_si512, _mm512_testn_epi64_mask};

/// Chains of products that do not wait for each other.
const CHAINS: usize = 4;

/// 2^256 modulo `r`, from numbers times 2^260 to scalars as they are in memory.
pub(super) const TO_MEMORY: [u64; 5] = fr8::split(Scalar::ONE.0.l);

/// Multiplies each scalar by its factor.
pub(crate) fn multiply(token: Token, scalars: &mut [Scalar], factors: &[Scalar]) {
    let (blocks, rest) = scalars.as_chunks_mut();
    let (factor_blocks, factor_rest) = factors.as_chunks();
    for (scalar, factor) in rest.iter_mut().zip(factor_rest) {
        *scalar *= *factor;
    }
    // SAFETY: the token proves that the processor has the instructions.
    unsafe { multiply_blocks(token, blocks, factor_blocks) }
}

#[target_feature(enable = "avx512f,avx512ifma,avx512vbmi2")]
fn multiply_blocks(_: Token, blocks: &mut [[Scalar; LANES]], factors: &[[Scalar; LANES]]) {
    for (block, factor) in blocks.iter_mut().zip(factors) {
        let product = mul(&load_factor(factor), &load(block));
        store(block, &canonical(&normalize(&product)));
    }
}

/// Multiplies all scalars by one.
pub(crate) fn scale(token: Token, scalars: &mut [Scalar], scalar: Scalar) {
    let (blocks, rest) = scalars.as_chunks_mut();
    for value in rest {
        *value *= scalar;
    }
    // SAFETY: the token proves that the processor has the instructions.
    unsafe { scale_blocks(token, blocks, &factor(scalar)) }
}

#[target_feature(enable = "avx512f,avx512ifma,avx512vbmi2")]
fn scale_blocks(_: Token, blocks: &mut [[Scalar; LANES]], factor: &[u64; 5]) {
    let factor = Fr8::splat(factor);
    for block in blocks {
        let product = mul(&load(block), &factor);
        store(block, &canonical(&normalize(&product)));
    }
}

/// Adds `scalar` times each encoded number to the sum at the same index; nothing is changed when one is not canonical.
pub(crate) fn add_encoded(
    token: Token,
    sums: &mut [Scalar],
    numbers: &[[u8; 32]],
    scalar: Scalar,
) -> Result<(), ScalarError> {
    let (blocks, rest) = sums.as_chunks_mut();
    let (number_blocks, number_rest) = numbers.as_chunks();
    let mut decoded = [Scalar::ZERO; LANES];
    for (decoded, number) in decoded.iter_mut().zip(number_rest) {
        *decoded = Scalar::try_from_bytes(number)?;
    }
    // SAFETY: the token proves that the processor has the instructions.
    unsafe {
        if !are_canonical(token, number_blocks) {
            return Err(ScalarError::NotCanonical);
        }
        // A plain number times 2^516 is in the form of memory after the division by 2^260.
        let factor = factor(scalar * Scalar::from_u64(2).pow(256));
        add_encoded_blocks(token, blocks, number_blocks, &factor);
    }
    for (sum, number) in rest.iter_mut().zip(decoded) {
        *sum += scalar * number;
    }
    Ok(())
}

#[target_feature(enable = "avx512f,avx512bw,avx512ifma,avx512vbmi2")]
fn are_canonical(_: Token, blocks: &[[[u8; 32]; LANES]]) -> bool {
    blocks.iter().all(|block| load_encoded(block).is_some())
}

/// Two vectors side by side, as a product alone mostly waits for itself. The numbers must be canonical.
#[target_feature(enable = "avx512f,avx512bw,avx512ifma,avx512vbmi2")]
fn add_encoded_blocks(
    _: Token,
    sums: &mut [[Scalar; LANES]],
    numbers: &[[[u8; 32]; LANES]],
    factor: &[u64; 5],
) {
    let factor = Fr8::splat(factor);
    let (sum_pairs, sum_rest) = sums.as_chunks_mut::<2>();
    let (number_pairs, number_rest) = numbers.as_chunks::<2>();
    for ([sum, other_sum], [number, other_number]) in sum_pairs.iter_mut().zip(number_pairs) {
        let (Some(number), Some(other_number)) = (load_encoded(number), load_encoded(other_number)) else {
            continue;
        };
        let [product, other_product] = products([&number, &other_number], [&factor; 2]);
        add_to(sum, &product);
        add_to(other_sum, &other_product);
    }
    for (sum, number) in sum_rest.iter_mut().zip(number_rest) {
        if let Some(number) = load_encoded(number) {
            add_to(sum, &mul(&number, &factor));
        }
    }
}

/// Adds products in the form of memory.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma,avx512vbmi2")]
fn add_to(sums: &mut [Scalar; LANES], products: &Fr8) {
    let total = add(&load(sums), products);
    store(sums, &canonical(&reduce(&normalize(&total))));
}

/// `base^0, base^1, ...`
pub(crate) fn powers(token: Token, base: Scalar, count: usize) -> Vec<Scalar> {
    let mut first = [Scalar::ONE; LANES];
    for index in 1..LANES {
        first[index] = first[index - 1] * base;
    }
    let mut result = vec![Scalar::ZERO; count.next_multiple_of(LANES)];
    // SAFETY: the token proves that the processor has the instructions.
    unsafe { power_blocks(token, &first, &factor(first[LANES - 1] * base), &mut result) };
    result.truncate(count);
    result
}

#[target_feature(enable = "avx512f,avx512ifma,avx512vbmi2")]
fn power_blocks(_: Token, first: &[Scalar; LANES], step: &[u64; 5], result: &mut [Scalar]) {
    let step = Fr8::splat(step);
    let mut power = load(first);
    for block in result.as_chunks_mut().0 {
        store(block, &canonical(&power));
        power = normalize(&mul(&power, &step));
    }
}

/// Replaces every scalar by its inverse; zeroes stay zero.
pub(crate) fn batch_inverse(token: Token, scalars: &mut [Scalar]) {
    let (blocks, rest) = scalars.as_chunks_mut();
    Scalar::batch_inverse(rest);
    // SAFETY: the token proves that the processor has the instructions.
    unsafe { invert_blocks(token, blocks) }
}

/// Block `i` belongs to chain `i % CHAINS`, and each lane of a chain has a product of its own.
#[target_feature(enable = "avx512f,avx512ifma,avx512vbmi2")]
fn invert_blocks(_: Token, blocks: &mut [[Scalar; LANES]]) {
    let one = Fr8::splat(&factor(Scalar::ONE));
    let mut products = [one; CHAINS];
    let mut prefixes = Vec::with_capacity(blocks.len());
    for (index, block) in blocks.iter().enumerate() {
        let product = &mut products[index % CHAINS];
        prefixes.push(*product);
        *product = normalize(&mul(&one_for_zero(&load_factor(block), &one).1, product));
    }
    let mut inverses = [[Scalar::ZERO; LANES]; CHAINS];
    for (inverse, product) in inverses.iter_mut().zip(&products) {
        let product = normalize(&mul(product, &Fr8::splat(&TO_MEMORY)));
        store(inverse, &canonical(&product));
    }
    Scalar::batch_inverse(inverses.as_flattened_mut());
    // In the form of memory, so that products with factors times 2^260 are as well.
    let mut inverses = inverses.map(|inverse| load(&inverse));
    for (index, (block, prefix)) in blocks.iter_mut().zip(prefixes).enumerate().rev() {
        let inverse = &mut inverses[index % CHAINS];
        let (zeroes, element) = one_for_zero(&load_factor(block), &one);
        let mut result = canonical(&normalize(&mul(&prefix, inverse)));
        for limb in &mut result.0 {
            *limb = _mm512_mask_blend_epi64(zeroes, *limb, Fr8::zero().0[0]);
        }
        store(block, &result);
        *inverse = normalize(&mul(&element, inverse));
    }
}

/// The lanes that are zero, and the numbers with ones there.
#[target_feature(enable = "avx512f")]
fn one_for_zero(a: &Fr8, one: &Fr8) -> (u8, Fr8) {
    let [l0, l1, l2, l3, l4] = a.0;
    let any = _mm512_or_si512(
        _mm512_or_si512(_mm512_or_si512(l0, l1), _mm512_or_si512(l2, l3)),
        l4,
    );
    let zeroes = _mm512_testn_epi64_mask(any, any);
    let mut result = *a;
    for (limb, one) in result.0.iter_mut().zip(one.0) {
        *limb = _mm512_mask_blend_epi64(zeroes, *limb, one);
    }
    (zeroes, result)
}
