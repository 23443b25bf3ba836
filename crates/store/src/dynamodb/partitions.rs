//! Who owns which partition, and for how many partitions the store is.
//!
//! The meta item says the number of partitions and a generation, which rises whenever the number changes; partitions' rows are stored by
//! generation, so those of before are never taken for those of now.

use ronda_domain::id::SLOTS;
use ronda_domain::time::Timestamp;
use ronda_schemas::row::PartitionRow;

use super::db::{Condition, Outcome};
use super::item::{Item, bytes, damaged, encode, get_bytes, get_number, item, number, text};
use super::stamp::Stamp;
use super::tables::Table;
use super::{DynamoStore, fenced, invalid, key, no_random, overflow};
use crate::error::{StoreError, StoreErrorKind};

const META: &str = "meta";
/// Version of the layout of tables and keys; raised when an older release could not read them.
const VERSION: u32 = 1;

/// What the store is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) partitions: u32,
    pub(super) generation: u64,
    /// To which number of partitions it is being changed.
    pub(super) changing_to: Option<u32>,
}

impl Meta {
    fn read(item: &Item) -> Result<Self, StoreError> {
        let version: u32 = get_number(item, "version").ok_or_else(|| damaged("the store's meta item"))?;
        if version > VERSION {
            let message = format!(
                "the tables have layout {version}; this release reads up to {VERSION}: use the newer release that made them"
            );
            return Err(StoreError::new(StoreErrorKind::Unreadable, message));
        }
        let (partitions, generation) = (get_number(item, "partitions"), get_number(item, "generation"));
        let (Some(partitions), Some(generation)) = (partitions, generation) else {
            return Err(damaged("the store's meta item"));
        };
        Ok(Self { partitions, generation, changing_to: get_number(item, "changing_to") })
    }
}

pub(super) fn meta_key() -> Item {
    item([("name", text(META))])
}

pub(super) fn partition_key(generation: u64, partition: u32) -> Item {
    item([("name", text(key::partition(generation, partition)))])
}

pub(super) fn owner(generation: u64, partition: u32) -> Vec<u8> {
    overflow::owner(Table::Partitions, &[key::partition(generation, partition).as_bytes()])
}

pub(super) fn check_partition(partition: u32, partitions: u32) -> Result<(), StoreError> {
    if partition < partitions && partitions.is_power_of_two() && partitions <= SLOTS {
        return Ok(());
    }
    Err(invalid(format!("partition {partition} of {partitions}: there must be 1, 2, 4, … {SLOTS}, counted from 0")))
}

impl DynamoStore {
    /// The meta item; `None`: the store has not been used yet.
    pub(super) async fn read_meta(&self) -> Result<Option<Meta>, StoreError> {
        let found = self.db.get(Table::Partitions, meta_key()).await?;
        let meta = found.map(|item| Meta::read(&item)).transpose()?;
        *self.meta.lock() = meta;
        Ok(meta)
    }

    /// The meta item as it was when last read, or now if it was not there then.
    pub(super) async fn known_meta(&self) -> Result<Option<Meta>, StoreError> {
        let known = *self.meta.lock();
        match known {
            Some(meta) => Ok(Some(meta)),
            None => self.read_meta().await,
        }
    }

    async fn make_meta(&self, partitions: u32) -> Result<Meta, StoreError> {
        if let Some(meta) = self.read_meta().await? {
            return Ok(meta);
        }
        let mut id = [0_u8; 16];
        getrandom::fill(&mut id).map_err(no_random)?;
        let mut meta = meta_key();
        meta.insert(String::from("version"), number(VERSION));
        meta.insert(String::from("partitions"), number(partitions));
        meta.insert(String::from("generation"), number(1));
        meta.insert(String::from("id"), bytes(id));
        let absent = Condition::new("attribute_not_exists(#name)", []);
        self.db.put(Table::Partitions, &meta, Some(&absent)).await?;
        // Ours, or that of somebody who was faster.
        self.read_meta().await?.ok_or_else(|| damaged("the store's meta item"))
    }

    pub(super) async fn acquire_partition(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        let meta = self.make_meta(partitions).await?;
        if let Some(to) = meta.changing_to {
            return Err(unfinished(meta.partitions, to));
        }
        if meta.partitions != partitions {
            return Err(other_number(meta.partitions, partitions));
        }
        let values = [(":zero", number(0)), (":one", number(1))];
        // A partition that is closed is never opened again: who read the meta item before its number changed comes too late here.
        let open = Condition::new("attribute_not_exists(#closed)", values);
        let key = partition_key(meta.generation, partition);
        let raise = "SET #epoch = if_not_exists(#epoch, :zero) + :one";
        match self.db.update(Table::Partitions, &key, raise, &open).await? {
            Outcome::Done(item) => match self.partition_row(&item, meta, partition).await? {
                Some(row) => Ok(row),
                // Written by the owner of before, who was faster than the fence and slower than the read.
                None => self.read_partition(meta, partition).await?.ok_or_else(|| damaged("a partition's row")),
            },
            Outcome::Refused(_) => match self.read_meta().await? {
                Some(Meta { changing_to: Some(to), .. }) => Err(unfinished(partitions, to)),
                meta => Err(other_number(meta.map_or(0, |meta| meta.partitions), partitions)),
            },
        }
    }

    /// A partition's row out of its item: a fresh one if it was never committed. `None`: it was written anew meanwhile.
    pub(super) async fn partition_row(
        &self,
        item: &Item,
        meta: Meta,
        partition: u32,
    ) -> Result<Option<PartitionRow>, StoreError> {
        let epoch = get_number(item, "epoch").ok_or_else(|| damaged("a partition's row"))?;
        let row = if overflow::has_row(item) {
            self.db.row(item, &owner(meta.generation, partition)).await?
        } else {
            let (partitions, watermark) = (meta.partitions, Timestamp::MIN);
            Some(PartitionRow { partition, partitions, watermark, ..PartitionRow::default() })
        };
        Ok(row.map(|row| PartitionRow { epoch, ..row }))
    }

    async fn read_partition(&self, meta: Meta, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            let found = self.db.get(Table::Partitions, partition_key(meta.generation, partition)).await?;
            let Some(item) = found.filter(|item| !item.contains_key("closed")) else { return Ok(None) };
            if let Some(row) = self.partition_row(&item, meta, partition).await? {
                return Ok(Some(row));
            }
        }
        Err(damaged("a partition's row"))
    }

    /// A partition's row as of its last commit.
    pub(super) async fn find_partition(&self, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        let Some(known) = self.known_meta().await? else { return Ok(None) };
        if let Some(row) = self.read_partition(known, partition).await? {
            return Ok(Some(row));
        }
        // The number of partitions may have been changed by another process.
        match self.read_meta().await? {
            Some(meta) if meta.generation != known.generation => self.read_partition(meta, partition).await,
            _ => Ok(None),
        }
    }

    /// Reads whether a partition's epoch is still the stored one.
    pub(super) async fn read_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        let is_mine = match self.known_meta().await? {
            Some(meta) => {
                let name = key::partition(meta.generation, partition);
                let row = Condition::new("#name = :name", [(":name", text(name))]);
                let values = [(":epoch", number(epoch))];
                let mine = Condition::new("#epoch = :epoch AND attribute_not_exists(#closed)", values);
                self.db.is_there(Table::Partitions, row, mine).await?
            }
            None => false,
        };
        if is_mine { Ok(()) } else { Err(replaced(partition, epoch)) }
    }

    /// Moves a partition's row, if its epoch is still the stored one: the moment of a commit.
    pub(super) async fn move_partition(&self, row: &PartitionRow, stamp: Stamp) -> Result<(), StoreError> {
        let what = format!("partition {}", row.partition);
        let Some(meta) = self.known_meta().await? else { return Err(fenced(&what, 0, row.epoch)) };
        let mut item = partition_key(meta.generation, row.partition);
        let owner = owner(meta.generation, row.partition);
        item.insert(String::from("epoch"), number(row.epoch));
        item.insert(String::from("stamp"), bytes(stamp.to_bytes()));
        let row_bytes = encode(row)?;
        let is_large = overflow::is_large(&row_bytes);
        self.db.lay(&mut item, row_bytes, &owner, stamp).await?;
        let values = [(":epoch", number(row.epoch)), (":stamp", bytes(stamp.to_bytes()))];
        let mine = Condition::new(
            "#epoch = :epoch AND attribute_not_exists(#closed) AND (attribute_not_exists(#stamp) OR #stamp <= :stamp)",
            values,
        );
        match self.db.put(Table::Partitions, &item, Some(&mine)).await? {
            Outcome::Done(_) if is_large => self.db.tidy(&owner, stamp).await,
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(found) => Err(refusal(&what, &found, stamp)),
        }
    }
}

fn replaced(partition: u32, epoch: u64) -> StoreError {
    let message =
        format!("partition {partition} belongs to another owner than that of epoch {epoch}: stop writing to it");
    StoreError::new(StoreErrorKind::Fenced, message)
}

/// Why a write of an owner was refused: by a later owner's, or else by a later one of its own, and then it may be tried again.
pub(super) fn refusal(what: &str, found: &Item, stamp: Stamp) -> StoreError {
    let written = get_bytes(found, "stamp").and_then(Stamp::read);
    let epoch = get_number(found, "epoch").or(written.map(|written| written.epoch)).unwrap_or(0);
    if epoch == stamp.epoch && epoch > 0 && !found.contains_key("closed") {
        let message = format!("{what} was written by another call of the same owner meanwhile");
        return StoreError::new(StoreErrorKind::Unavailable, message);
    }
    fenced(what, epoch, stamp.epoch)
}

fn other_number(made_for: u32, asked: u32) -> StoreError {
    let message = format!(
        "this store was made for {made_for} command partitions and is asked for {asked}: set the number of partitions back to \
         {made_for}, or change it with 'ronda queue repartition'"
    );
    StoreError::new(StoreErrorKind::OtherPartitions, message)
}

pub(super) fn unfinished(from: u32, to: u32) -> StoreError {
    let message = format!(
        "this store is being changed from {from} to {to} command partitions: wait, or finish it with 'ronda queue repartition' for {to}"
    );
    StoreError::new(StoreErrorKind::Conflict, message)
}
