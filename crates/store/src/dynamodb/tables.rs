//! The tables: what each is for, its keys, and whether its items expire.

use aws_sdk_dynamodb::types::ScalarAttributeType;

/// The attribute with the second, counted from 1970, after which DynamoDB may remove an item.
pub(super) const EXPIRES: &str = "expires";
/// The index of schedulers by tenant.
pub(super) const BY_TENANT: &str = "by-tenant";
pub(super) const TENANT: &str = "tenant";
pub(super) const SCHEDULER: &str = "scheduler";

/// One table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Table {
    /// The meta item and the partitions' rows, by name.
    Partitions,
    /// Scheduler rows by slot, and what is left of removed ones.
    Schedulers,
    /// History entries and their runs, by scheduler.
    History,
    /// Error feeds by tenant and day, and which days a tenant has.
    Errors,
    /// API keys by hash.
    Keys,
    /// Lists: of tenants that have, or had, schedulers or keys; and each group's members and assignment.
    Tenants,
    /// Idempotency keys.
    Idempotency,
    /// The notifier's rows by shard, each shard's head, and journals.
    Surfaces,
    /// What does not fit into an item, in parts.
    Overflow,
}

/// A key attribute: name and type.
pub(super) type KeyAttribute = (&'static str, ScalarAttributeType);

impl Table {
    pub(super) const ALL: [Self; 9] = [
        Self::Partitions,
        Self::Schedulers,
        Self::History,
        Self::Errors,
        Self::Keys,
        Self::Tenants,
        Self::Idempotency,
        Self::Surfaces,
        Self::Overflow,
    ];

    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Partitions => "partitions",
            Self::Schedulers => "schedulers",
            Self::History => "history",
            Self::Errors => "errors",
            Self::Keys => "keys",
            Self::Tenants => "tenants",
            Self::Idempotency => "idempotency",
            Self::Surfaces => "surfaces",
            Self::Overflow => "overflow",
        }
    }

    /// The hash key.
    pub(super) const fn hash(self) -> KeyAttribute {
        match self {
            Self::Partitions => ("name", ScalarAttributeType::S),
            Self::Schedulers => ("slot", ScalarAttributeType::N),
            Self::History => ("scheduler", ScalarAttributeType::S),
            Self::Errors => ("feed", ScalarAttributeType::S),
            Self::Keys => ("hash", ScalarAttributeType::B),
            Self::Tenants => ("list", ScalarAttributeType::S),
            Self::Idempotency => ("key", ScalarAttributeType::S),
            Self::Surfaces => ("shard", ScalarAttributeType::N),
            Self::Overflow => ("owner", ScalarAttributeType::B),
        }
    }

    /// The range key.
    pub(super) const fn range(self) -> Option<KeyAttribute> {
        match self {
            Self::Partitions | Self::Keys | Self::Idempotency => None,
            Self::Schedulers => Some(("key", ScalarAttributeType::S)),
            Self::History | Self::Errors | Self::Overflow => Some(("place", ScalarAttributeType::B)),
            Self::Tenants => Some((TENANT, ScalarAttributeType::S)),
            Self::Surfaces => Some(("place", ScalarAttributeType::S)),
        }
    }

    /// Whether some of its items have a time to live.
    pub(super) const fn expires(self) -> bool {
        matches!(self, Self::Schedulers | Self::History | Self::Errors | Self::Idempotency | Self::Overflow)
    }
}
