//! The list form: examples, everything that is wrong, and both directions against plain sets.

use super::{CpuSet, CpuSetError, LIST_LIMIT};
use proptest::collection::btree_set;
use proptest::prelude::*;

fn parse(list: &str) -> CpuSet {
    list.parse().unwrap()
}

#[test]
fn lists_are_read_and_written_like_the_system_does() {
    for (list, processors) in [
        ("", vec![]),
        ("0", vec![0]),
        ("0-1", vec![0, 1]),
        ("0-3,8", vec![0, 1, 2, 3, 8]),
        ("1,3,5-7,65535", vec![1, 3, 5, 6, 7, 65535]),
    ] {
        let set = parse(list);
        assert_eq!(set.iter().collect::<Vec<_>>(), processors, "{list}");
        assert_eq!(set.to_string(), list);
        assert_eq!(set.len(), processors.len());
        assert_eq!(set.is_empty(), processors.is_empty());
    }
    // What is read may be longer than what is written, and ends with a newline in files.
    for (given, written) in [
        ("0-1\n", "0-1"),
        ("\n", ""),
        (" 4 , 2 - 3 ", "2-4"),
        ("8,0,1,2-2,1-3", "0-3,8"),
    ] {
        assert_eq!(parse(given).to_string(), written);
    }
}

#[test]
fn the_error_names_what_is_wrong() {
    for item in [
        "a",
        "-",
        "1-",
        "-1",
        "1-2-3",
        "+1",
        "0x1",
        "1 2",
        "0:3",
        "99999999999999999999",
    ] {
        let malformed = CpuSetError::Malformed { item: item.into() };
        assert_eq!(item.parse::<CpuSet>(), Err(malformed.clone()));
        assert_eq!(format!("0,{item}").parse::<CpuSet>(), Err(malformed));
    }
    let malformed = CpuSetError::Malformed { item: String::new() };
    assert_eq!("0,,1".parse::<CpuSet>(), Err(malformed.clone()));
    assert_eq!("0,".parse::<CpuSet>(), Err(malformed));
    assert_eq!(
        "3-2".parse::<CpuSet>(),
        Err(CpuSetError::Backwards { item: "3-2".into() })
    );
    let index = LIST_LIMIT;
    assert_eq!(
        index.to_string().parse::<CpuSet>(),
        Err(CpuSetError::TooLarge { index })
    );
    // Refused before anything is allocated.
    let huge = "0-18446744073709551615".parse::<CpuSet>();
    assert_eq!(huge, Err(CpuSetError::TooLarge { index: usize::MAX }));
    let message = "0-3,x".parse::<CpuSet>().unwrap_err().to_string();
    assert_eq!(
        message,
        "\"x\" is neither a processor nor a range of processors; write a list like 0-3,8"
    );
}

#[test]
fn the_largest_number_can_be_written() {
    let set = CpuSet::from_iter([usize::MAX, usize::MAX - 1, 0]);
    assert_eq!(set.to_string(), format!("0,{}-{}", usize::MAX - 1, usize::MAX));
}

proptest! {
    #[test]
    fn writing_and_reading_gives_the_set_back(processors in btree_set(0..LIST_LIMIT, 0..50), run in 0..64_usize) {
        let mut set: CpuSet = processors.iter().copied().collect();
        set.extend(processors.iter().next().into_iter().flat_map(|&first| first..(first + run).min(LIST_LIMIT)));
        let list = set.to_string();
        prop_assert_eq!(&parse(&list), &set);
        // The shortest list: no two neighbours in it could be one range.
        let ranges: Vec<(usize, usize)> = list
            .split(',')
            .filter(|item| !item.is_empty())
            .map(|item| item.split_once('-').unwrap_or((item, item)))
            .map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap()))
            .collect();
        prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{}", list);
    }

    #[test]
    fn order_and_overlap_of_items_do_not_matter(ranges in prop::collection::vec((0..300_usize, 0..20_usize), 1..10)) {
        let list: Vec<String> = ranges.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
        let expected: CpuSet = ranges.iter().flat_map(|&(first, more)| first..=first + more).collect();
        prop_assert_eq!(parse(&list.join(",")), expected);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9,\\- x+]{0,24}") {
        if let Ok(set) = text.parse::<CpuSet>() {
            prop_assert_eq!(parse(&set.to_string()), set);
        }
    }

    #[test]
    fn set_operations_are_those_of_sets(left in btree_set(0..40_usize, 0..20), right in btree_set(0..40_usize, 0..20)) {
        let (a, b): (CpuSet, CpuSet) = (left.iter().copied().collect(), right.iter().copied().collect());
        prop_assert_eq!(a.intersection(&b).iter().collect::<Vec<_>>(), left.intersection(&right).copied().collect::<Vec<_>>());
        prop_assert_eq!(a.difference(&b).iter().collect::<Vec<_>>(), left.difference(&right).copied().collect::<Vec<_>>());
        prop_assert_eq!(a.is_disjoint(&b), left.is_disjoint(&right));
        prop_assert!((0..40).all(|processor| a.contains(processor) == left.contains(&processor)));
    }
}
