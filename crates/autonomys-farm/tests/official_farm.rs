//! `official_farm.json`: the directory that the official farmer wrote, made again byte for byte, and adopted as it stands.
#![allow(clippy::unwrap_used)] // All of this is a test, its helper functions included.

#[path = "../../../tests/support/archived_pieces.rs"]
mod archived_pieces;

use archived_pieces::{archived_pieces, indexes_of_official_farm, official_protocol_info};
use autonomys_farm::allocation::{
    CACHE_PERCENTAGE, PAGE, metadata_file_size, piece_cache_elements, plot_file_size, target_sector_count,
};
use autonomys_farm::identity::Identity;
use autonomys_farm::info::FarmInfo;
use autonomys_farm::metadata_file::{MetadataFile, MetadataHeader, RESERVED_METADATA};
use autonomys_farm::piece_cache::{ELEMENT_SIZE, decode_element, encode_element};
use autonomys_farm::{Farm, FarmOptions, SpaceRequest};
use autonomys_test_support::{Node, mainnet_kzg_params, report_skipped, section};
use bytesize::ByteSize;
use parity_scale_codec::Encode;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use subspace_core_primitives::hashes::{Blake3Hash, blake3_hash};
use subspace_core_primitives::pieces::{Piece, PieceIndex, PieceOffset};
use subspace_core_primitives::rpc::FarmerProtocolInfo;
use subspace_core_primitives::sectors::SectorId;
use subspace_core_primitives::segments::HistorySize;
use subspace_erasure_coding::ErasureCoding;
use subspace_farmer_components::plotting::{SectorToEncode, encode_sector, sector_piece_indexes};
use subspace_farmer_components::sector::{SectorLayout, SectorMetadataChecksummed};
use subspace_kzg::{Kzg, ReferenceString};
use subspace_proof_of_space::ChiaProofOfSpace;

const IDENTITY: &str = "identity.bin";
const INFO: &str = "single_disk_farm.json";
const METADATA: &str = "metadata.bin";
const PLOT: &str = "plot.bin";
const PIECE_CACHE: &str = "piece_cache.bin";

static POOL: LazyLock<ThreadPool> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(2).build().unwrap());

/// What the official farmer was started with.
struct Parameters {
    allocated_space: u64,
    genesis_hash: Blake3Hash,
    protocol_info: FarmerProtocolInfo,
}

impl Parameters {
    fn read() -> Self {
        let section = section("official_farm.json", "command_parameters");
        let root = section.root();
        let parameters = Self {
            allocated_space: root.get("allocated_space").u64(),
            genesis_hash: root.get("genesis_hash").array().into(),
            protocol_info: official_protocol_info(&root),
        };
        let typed = root.get("allocated_space_cli").str();
        let size: ByteSize = typed.strip_prefix("size=").unwrap().parse().unwrap();
        assert_eq!(size.as_u64(), parameters.allocated_space);
        section.finish();
        parameters
    }

    fn pieces_in_sector(&self) -> u16 {
        self.protocol_info.max_pieces_in_sector
    }

    fn sectors(&self) -> u16 {
        target_sector_count(self.allocated_space, self.pieces_in_sector(), CACHE_PERCENTAGE)
    }

    fn options(&self, directory: &Path, space: SpaceRequest) -> FarmOptions {
        FarmOptions {
            directory: directory.to_path_buf(),
            space,
            genesis_hash: self.genesis_hash,
            pieces_in_sector: self.pieces_in_sector(),
        }
    }
}

fn official_info() -> (String, FarmInfo) {
    let section = section("official_farm.json", "single_disk_farm_json");
    let text = section.root().str().to_string();
    let info = FarmInfo::from_json(&text, Path::new(INFO)).unwrap();
    section.finish();
    (text, info)
}

fn write_official_identity(directory: &Path) {
    let section = section("official_farm.json", "identity_bin");
    fs::write(directory.join(IDENTITY), section.root().bytes()).unwrap();
    section.finish();
}

#[test]
fn identity_and_description() {
    let directory = tempfile::tempdir().unwrap();
    write_official_identity(directory.path());
    let identity = Identity::load(directory.path()).unwrap().unwrap();
    let parameters = Parameters::read();
    let (text, info) = official_info();
    let made = FarmInfo {
        id: info.id,
        genesis_hash: parameters.genesis_hash,
        public_key: identity.public_key(),
        pieces_in_sector: parameters.pieces_in_sector(),
        allocated_space: parameters.allocated_space,
    };
    assert_eq!(made, info);
    assert_eq!(made.to_json(), text);
    made.store(directory.path()).unwrap();
    assert_eq!(fs::read_to_string(directory.path().join(INFO)).unwrap(), text);

    let written = fs::read(directory.path().join(IDENTITY)).unwrap();
    fs::remove_file(directory.path().join(IDENTITY)).unwrap();
    identity.store(directory.path()).unwrap();
    assert_eq!(fs::read(directory.path().join(IDENTITY)).unwrap(), written);

    let description = section("official_farm.json", "description");
    assert!(!description.root().str().is_empty());
    description.finish();
}

#[test]
fn space_and_sizes() {
    let parameters = Parameters::read();
    let expected = section("official_farm.json", "target_sector_count");
    let sectors = parameters.sectors();
    assert_eq!(sectors, expected.root().u16());
    expected.finish();

    let pieces = parameters.pieces_in_sector();
    let elements = piece_cache_elements(parameters.allocated_space, sectors, pieces);
    let cached = section("official_farm.json", "piece_cache_elements");
    assert!(
        cached
            .root()
            .items()
            .iter()
            .all(|element| element.get("element").u64() < elements)
    );

    let files = section("official_farm.json", "files");
    for (name, file) in files.root().fields() {
        let size = match name {
            IDENTITY => autonomys_farm::identity::FILE_SIZE,
            INFO => official_info().0.len() as u64,
            METADATA => metadata_file_size(sectors),
            PLOT => plot_file_size(sectors, pieces),
            PIECE_CACHE => (elements * ELEMENT_SIZE as u64).next_multiple_of(PAGE),
            _ => panic!("a file {name} that this test does not know"),
        };
        assert_eq!(file.get("size").u64(), size, "{name}");
    }
    files.finish();
}

/// The pieces, or `None` after reporting that `test` is skipped.
fn pieces(test: &str) -> Option<BTreeMap<PieceIndex, Piece>> {
    let Some(params) = mainnet_kzg_params() else {
        report_skipped(
            test,
            "the mainnet reference string is not there, see AUTONOMYS_KZG_PARAMS",
        );
        return None;
    };
    Some(archived_pieces(&indexes_of_official_farm(), || {
        let reference_string = ReferenceString::mainnet_from_bytes_parallel(&params, &POOL).unwrap();
        (
            Kzg::new(reference_string).with_precomputation(&POOL),
            erasure_coding(),
            &POOL,
        )
    }))
}

fn erasure_coding() -> ErasureCoding {
    ErasureCoding::new(NonZeroUsize::new(16).unwrap()).unwrap()
}

#[test]
fn the_directory_is_made_again_and_adopted() {
    let Some(pieces) = pieces("the_directory_is_made_again_and_adopted") else {
        return;
    };
    let parameters = Parameters::read();
    let space = SpaceRequest::Bytes(parameters.allocated_space);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_official_identity(path);

    let farm = Arc::new(Farm::open(&parameters.options(path, space)).unwrap());
    let mut piece_indexes = Vec::new();
    let sectors = section("official_farm.json", "sectors");
    for (position, sector) in sectors.root().items().iter().enumerate() {
        assert_eq!(sector.get("position").usize(), position);
        piece_indexes.push(plot(&farm, sector, &parameters, &pieces));
    }
    assert_eq!(farm.plotted_sectors().len(), piece_indexes.len());
    drop(farm);
    check_metadata(path);
    for sector in sectors.root().items() {
        check_sector(path, &sector);
    }
    sectors.finish();

    // All that is missing now is what the official farmer chose at random.
    let (text, info) = official_info();
    let made = FarmInfo::load(path).unwrap().unwrap();
    assert_eq!(FarmInfo { id: info.id, ..made }, info);
    fs::write(path.join(INFO), &text).unwrap();
    check_piece_cache(path, &parameters, &pieces);
    check_unplotted_tail(path, piece_indexes.len(), &parameters, &pieces);
    let files = section("official_farm.json", "files");
    for (name, file) in files.root().fields() {
        assert_eq!(
            fs::metadata(path.join(name)).unwrap().len(),
            file.get("size").u64(),
            "{name}"
        );
    }
    adopt(path, &parameters, &piece_indexes, &pieces);
}

/// Encodes the sector and hands it to the farm in ranges, out of order, as a network would deliver them.
fn plot(
    farm: &Arc<Farm>,
    sector: &Node<'_>,
    parameters: &Parameters,
    pieces: &BTreeMap<PieceIndex, Piece>,
) -> Vec<PieceIndex> {
    const RANGE: usize = 1_000_000;
    let sector_index = sector.get("sector_index").u16();
    let history_size = HistorySize::from_segments(sector.get("history_size").u64()).unwrap();
    let sector_id = SectorId::new(farm.public_key_hash(), sector_index, history_size);
    let piece_indexes = sector_piece_indexes(
        &sector_id,
        history_size,
        sector.get("pieces_in_sector").u16(),
        &parameters.protocol_info,
    );
    let encoded = encode_sector(
        SectorToEncode {
            public_key_hash: *farm.public_key_hash(),
            sector_index,
            history_size,
            pieces: piece_indexes.iter().map(|index| pieces[index].clone()).collect(),
        },
        &ChiaProofOfSpace::new(),
        &erasure_coding(),
        &POOL,
        NonZeroUsize::new(2).unwrap(),
        &|_| {},
        &AtomicBool::new(false),
    )
    .unwrap();
    let mut writer = farm.write_sector(sector_index).unwrap();
    let ranges: Vec<_> = encoded.sector.chunks(RANGE).enumerate().collect();
    for (number, range) in ranges.into_iter().rev() {
        writer.write((number * RANGE) as u64, range).unwrap();
    }
    writer.commit(encoded.metadata).unwrap();
    piece_indexes
}

fn read_at(path: &Path, name: &str, offset: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    File::open(path.join(name))
        .unwrap()
        .read_exact_at(&mut bytes, offset)
        .unwrap();
    bytes
}

fn check_metadata(path: &Path) {
    let expected = section("official_farm.json", "metadata_header");
    let root = expected.root();
    let bytes = fs::read(path.join(METADATA)).unwrap();
    let header = root.get("bytes").bytes();
    assert_eq!(bytes[..header.len()], header);
    let reserved = &bytes[header.len()..RESERVED_METADATA as usize];
    assert_eq!(
        reserved.iter().all(|&byte| byte == 0),
        root.get("reserved_bytes_are_zero").bool()
    );
    let count = root.get("plotted_sector_count").u16();
    let version = u8::try_from(root.get("version").u16()).unwrap();
    let parsed = MetadataFile::open(path, 0, false).unwrap().header().unwrap();
    assert_eq!(
        parsed,
        MetadataHeader {
            version,
            plotted_sector_count: count
        }
    );
    assert_eq!(parsed.encode(), header);
    expected.finish();

    let end_of_records =
        RESERVED_METADATA as usize + usize::from(count) * SectorMetadataChecksummed::ENCODED_SIZE;
    let zero = section("official_farm.json", "unplotted_metadata_is_zero");
    assert_eq!(
        bytes[end_of_records..].iter().all(|&byte| byte == 0),
        zero.root().bool()
    );
    zero.finish();

    let hash = section("official_farm.json", "metadata_file_blake3");
    assert_eq!(*blake3_hash(&bytes), hash.root().array());
    hash.finish();
}

fn check_sector(path: &Path, expected: &Node<'_>) {
    let length = expected.get("sector_length").usize();
    let sector = read_at(path, PLOT, expected.get("sector_offset").u64(), length);
    assert_eq!(*blake3_hash(&sector), expected.get("sector_blake3").array());
    let (body, checksum) = sector.split_last_chunk::<{ Blake3Hash::SIZE }>().unwrap();
    assert_eq!(*checksum, expected.get("sector_trailing_checksum").array());
    assert_eq!(
        *blake3_hash(body) == *checksum,
        expected.get("checksum_ok").bool()
    );
    let layout = SectorLayout::new(expected.get("pieces_in_sector").u16());
    assert_eq!(layout.sector_size(), length as u64);
    let contents_map_end = layout.contents_map_size() as usize;
    assert_eq!(
        sector[contents_map_end - Blake3Hash::SIZE..contents_map_end],
        expected.get("contents_map_checksum").bytes()
    );
    let metadata_offset = expected.get("metadata_offset").u64();
    let metadata = read_at(
        path,
        METADATA,
        metadata_offset,
        SectorMetadataChecksummed::ENCODED_SIZE,
    );
    assert_eq!(
        *blake3_hash(&metadata),
        expected.get("metadata_scale_blake3").array()
    );
}

/// Writes the piece cache and reads it back.
fn check_piece_cache(path: &Path, parameters: &Parameters, pieces: &BTreeMap<PieceIndex, Piece>) {
    let elements = piece_cache_elements(
        parameters.allocated_space,
        parameters.sectors(),
        parameters.pieces_in_sector(),
    );
    let size = (elements * ELEMENT_SIZE as u64).next_multiple_of(PAGE);
    let file = File::create(path.join(PIECE_CACHE)).unwrap();
    file.set_len(size).unwrap();
    let section = section("official_farm.json", "piece_cache_elements");
    for expected in section.root().items() {
        let index = PieceIndex::new(expected.get("piece_index").u64());
        let piece = &pieces[&index];
        assert_eq!(*piece.hash(), expected.get("piece_blake3").array());
        let offset = expected.get("element").u64() * ELEMENT_SIZE as u64;
        file.write_all_at(&encode_element(index, piece), offset).unwrap();
        let mut element = read_at(path, PIECE_CACHE, offset, ELEMENT_SIZE);
        let decoded = decode_element(&element);
        assert_eq!(decoded.is_some(), expected.get("checksum_ok").bool());
        let decoded = decoded.unwrap();
        assert_eq!((decoded.piece_index, &decoded.piece), (index, piece));
        assert_eq!(*decoded.checksum, expected.get("checksum").array());
        element[ELEMENT_SIZE / 2] ^= 1;
        assert!(decode_element(&element).is_none());
    }
    assert!(
        decode_element(&vec![0; ELEMENT_SIZE]).is_none(),
        "an empty element holds no piece"
    );
    section.finish();
}

/// Writes the pieces that the official farmer keeps where sectors are not plotted yet, and reads them back.
fn check_unplotted_tail(
    path: &Path,
    plotted: usize,
    parameters: &Parameters,
    pieces: &BTreeMap<PieceIndex, Piece>,
) {
    let plotted_end = plotted as u64 * SectorLayout::new(parameters.pieces_in_sector()).sector_size();
    let file = File::options().write(true).open(path.join(PLOT)).unwrap();
    let section = section("official_farm.json", "pieces_in_unplotted_tail");
    for expected in section.root().items() {
        let index = PieceIndex::new(expected.get("piece_index").u64());
        let piece = &pieces[&index];
        assert_eq!(*piece.hash(), expected.get("piece_blake3").array());
        let offset = expected.get("offset").u64();
        assert_eq!(offset, expected.get("element").u64() * ELEMENT_SIZE as u64);
        assert!(offset >= plotted_end);
        file.write_all_at(&encode_element(index, piece), offset).unwrap();
        let decoded = decode_element(&read_at(path, PLOT, offset, ELEMENT_SIZE)).unwrap();
        assert_eq!((decoded.piece_index, &decoded.piece), (index, piece));
    }
    section.finish();
}

/// Opens the official files as they are: nothing changes, every sector is there and its pieces can be read.
fn adopt(
    path: &Path,
    parameters: &Parameters,
    piece_indexes: &[Vec<PieceIndex>],
    pieces: &BTreeMap<PieceIndex, Piece>,
) {
    let hashes = |names: &[&str]| -> Vec<_> {
        names
            .iter()
            .map(|name| blake3_hash(&fs::read(path.join(name)).unwrap()))
            .collect()
    };
    let all = [IDENTITY, INFO, METADATA, PLOT, PIECE_CACHE];
    let before = hashes(&all);
    let space = SpaceRequest::Bytes(parameters.allocated_space);
    let farm = Farm::open(&parameters.options(path, space)).unwrap();
    assert_eq!(farm.info(), &official_info().1);
    assert_eq!(farm.target_sector_count(), parameters.sectors());
    let plotted = u16::try_from(piece_indexes.len()).unwrap();
    assert!(
        farm.missing_sectors()
            .into_iter()
            .eq(plotted..parameters.sectors())
    );
    for (sector, piece_indexes) in farm.plotted_sectors().iter().zip(piece_indexes) {
        assert!(farm.sector_is_intact(sector.sector_index).unwrap());
        let offset = piece_indexes.len() - 1;
        let piece = farm
            .read_piece(
                sector.sector_index,
                PieceOffset::from(u16::try_from(offset).unwrap()),
                &ChiaProofOfSpace::new(),
                &erasure_coding(),
                Some(&POOL),
            )
            .unwrap();
        assert_eq!(piece, pieces[&piece_indexes[offset]]);
    }
    drop(farm);
    assert_eq!(hashes(&all), before);

    // The same farm by its number of sectors: only the recorded space becomes the smallest that gives this number.
    let space = SpaceRequest::Sectors(parameters.sectors());
    let farm = Farm::open(&parameters.options(path, space)).unwrap();
    assert_eq!(farm.info().id, official_info().1.id);
    assert!(farm.info().allocated_space <= parameters.allocated_space);
    assert_eq!(
        target_sector_count(
            farm.info().allocated_space,
            parameters.pieces_in_sector(),
            CACHE_PERCENTAGE
        ),
        parameters.sectors()
    );
    let unchanged = [IDENTITY, METADATA, PLOT, PIECE_CACHE];
    assert!(hashes(&unchanged).iter().all(|hash| before.contains(hash)));
}
