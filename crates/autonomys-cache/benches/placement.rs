//! Simulates placement at full size: 1000 caches and 10 million pieces.
//!
//! `cargo bench -p autonomys-cache --bench placement` prints, for equal and for mixed weights and for 1, 2 and 6 positions: the
//! time of the first table with the owners of every piece, the highest share of pieces against the fair one, and what a join, a
//! leave, a return and a long history move against the least that any algorithm could move. Nothing is measured by sampling:
//! every piece is counted.

use autonomys_cache::placement::{Member, ShardTable, VirtualShard};
use nix::sys::resource::{UsageWho, getrusage};
use std::hint::black_box;
use std::time::Instant;
use subspace_core_primitives::pieces::PieceIndex;

const CACHES: usize = 1000;
const PIECES: u64 = 10_000_000;
/// Joins, leaves and changes of weight in a history.
const STEPS: usize = 300;
/// Times are the least of this many, because other programs disturb.
const RUNS: usize = 3;

fn member(number: usize, mixed: bool) -> Member {
    Member {
        id: format!("sharded-cache.{number:05}"),
        host: format!("host-{}", number / 4),
        weight: if mixed { 100 << (number % 5) } else { 1000 },
    }
}

/// Pieces of each place's owner, by member.
fn pieces(table: &ShardTable, pieces_of: &[u32]) -> Vec<u64> {
    let mut sums = vec![0; table.members().len()];
    for shard in VirtualShard::all() {
        for &owner in table.owner_numbers(shard) {
            sums[usize::from(owner)] += u64::from(pieces_of[usize::from(shard.get())]);
        }
    }
    sums
}

fn highest_share(table: &ShardTable, pieces_of: &[u32]) -> f64 {
    let weight: u64 = table.members().iter().map(|one| one.weight).sum();
    let all = (PIECES * table.positions() as u64) as f64;
    pieces(table, pieces_of)
        .into_iter()
        .zip(table.members())
        .map(|(pieces, one)| pieces as f64 / (all * one.weight as f64 / weight as f64))
        .fold(0.0, f64::max)
}

/// Pieces, each counted once a position, that another member has to hold.
fn moved(before: &ShardTable, after: &ShardTable, pieces_of: &[u32]) -> u64 {
    let mut sum = 0;
    for shard in VirtualShard::all() {
        for (a, b) in before.owner_numbers(shard).iter().zip(after.owner_numbers(shard)) {
            let same = before.members()[usize::from(*a)].id == after.members()[usize::from(*b)].id;
            sum += u64::from(!same) * u64::from(pieces_of[usize::from(shard.get())]);
        }
    }
    sum
}

/// Pieces that one member holds in a table, or should hold by weight.
fn held(table: &ShardTable, id: &str, pieces_of: &[u32]) -> f64 {
    let number = table.members().iter().position(|one| one.id == id);
    number.map_or(0.0, |number| pieces(table, pieces_of)[number] as f64)
}

fn fair(table: &ShardTable, id: &str) -> f64 {
    let weight: u64 = table.members().iter().map(|one| one.weight).sum();
    let own = table
        .members()
        .iter()
        .find(|one| one.id == id)
        .map_or(0, |one| one.weight);
    PIECES as f64 * table.positions() as f64 * own as f64 / weight as f64
}

/// Seconds of processor time that this program has used: other programs on the machine do not change them.
fn processor_time() -> f64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask about itself");
    let times = [used.user_time(), used.system_time()];
    times
        .iter()
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .sum()
}

/// Small deterministic numbers for histories.
fn next(state: &mut u64) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

fn history(mut table: ShardTable, mixed: bool, pieces_of: &[u32], name: &str) {
    let (mut state, mut fresh) = (7, 50_000);
    let (mut worst_share, mut worst, mut all_moved, mut all_least) = (0f64, 0f64, 0.0, 0.0);
    let mut list = table.members().to_vec();
    for _ in 0..STEPS {
        let victim = next(&mut state) % list.len();
        let least = |after: &ShardTable, before: &ShardTable, id: &str| {
            held(before, id, pieces_of).max(if held(before, id, pieces_of) == 0.0 {
                fair(after, id)
            } else {
                0.0
            })
        };
        let id = match next(&mut state) % 2 {
            0 => {
                let one = member(fresh, mixed);
                fresh += 1;
                list.push(one.clone());
                one.id
            }
            _ => list.swap_remove(victim).id,
        };
        let after = table
            .next(list.clone(), table.positions())
            .expect("the list is good");
        let (moved, least) = (
            moved(&table, &after, pieces_of) as f64,
            least(&after, &table, &id),
        );
        worst = worst.max(moved / least);
        all_moved += moved;
        all_least += least;
        worst_share = worst_share.max(highest_share(&after, pieces_of));
        table = after;
    }
    println!(
        "{name}: {STEPS} random joins and leaves: highest/fair share {worst_share:.4}, moved/least {:.4} in all, {worst:.4} at worst",
        all_moved / all_least
    );
}

fn main() {
    let mut pieces_of = vec![0u32; 65_536];
    for index in 0..PIECES {
        pieces_of[usize::from(VirtualShard::of_piece(PieceIndex::new(index)).get())] += 1;
    }
    for mixed in [false, true] {
        for positions in [1, 2, 6] {
            let list: Vec<_> = (0..CACHES).map(|number| member(number, mixed)).collect();
            let weights = if mixed { "weights 1 to 16" } else { "equal weights" };
            let name = format!("{CACHES} caches, {weights}, {positions} position(s)");
            let mut best = [f64::MAX; 4];
            let mut table = None;
            for _ in 0..RUNS {
                let (start, used) = (Instant::now(), processor_time());
                let made = ShardTable::new(list.clone(), positions).expect("the list is good");
                let made_in = start.elapsed().as_secs_f64();
                let mut sum = 0;
                for index in 0..PIECES {
                    for &owner in made.owner_numbers(VirtualShard::of_piece(PieceIndex::new(index))) {
                        sum += u64::from(owner);
                    }
                }
                black_box(sum);
                let all = start.elapsed().as_secs_f64();
                let used = processor_time() - used;
                best = [
                    best[0].min(made_in),
                    best[1].min(all - made_in),
                    best[2].min(all),
                    best[3].min(used),
                ];
                table = Some(made);
            }
            let table = table.expect("it was made");
            println!(
                "{name}: first table {:.3} s, owners of {PIECES} pieces {:.3} s, in all {:.3} s, {:.3} s of processor \
                 time; {} bytes stored",
                best[0],
                best[1],
                best[2],
                best[3],
                table.to_bytes().len()
            );
            println!(
                "{name}: highest/fair share of pieces {:.4}",
                highest_share(&table, &pieces_of)
            );

            let newcomer = member(CACHES + 3, mixed);
            let mut more = list.clone();
            more.push(newcomer.clone());
            let start = Instant::now();
            let joined = table.next(more, positions).expect("the list is good");
            let took = start.elapsed().as_secs_f64();
            println!(
                "{name}: join moves {:.4} of the newcomer's fair share, in {took:.3} s; highest/fair {:.4}",
                moved(&table, &joined, &pieces_of) as f64 / fair(&joined, &newcomer.id),
                highest_share(&joined, &pieces_of)
            );

            let leaver = list[503].clone();
            let fewer: Vec<_> = list.iter().filter(|one| one.id != leaver.id).cloned().collect();
            let left = table.next(fewer, positions).expect("the list is good");
            println!(
                "{name}: leave moves {:.4} of what the leaver held; highest/fair {:.4}",
                moved(&table, &left, &pieces_of) as f64 / held(&table, &leaver.id, &pieces_of),
                highest_share(&left, &pieces_of)
            );
            let back = left.next(list, positions).expect("the list is good");
            let mut had = [0u32; 2];
            for shard in VirtualShard::all().filter(|&shard| table.is_owner(shard, &leaver.id)) {
                had[usize::from(back.is_owner(shard, &leaver.id))] += 1;
            }
            println!(
                "{name}: return moves {:.4} of its share and gives it {} of its {} shards back",
                moved(&left, &back, &pieces_of) as f64 / fair(&back, &leaver.id),
                had[1],
                had[0] + had[1]
            );
            history(table, mixed, &pieces_of, &name);
        }
    }
}
