//! Lists of tables in the file, such as `[[boards]]`: each key's name, type, default, check and explanation in one place.

use toml::{Table, Value as Toml};

use super::mistake::{Mistake, Origin, nearest};

/// One key of such a table.
pub struct RowKey<T> {
    /// Its name in the file.
    pub key: &'static str,
    /// Type of the value, for people.
    pub kind: &'static str,
    /// Explanation.
    pub doc: &'static str,
    pub(super) set: fn(&mut T, &Toml) -> Result<(), String>,
    pub(super) get: fn(&T) -> Toml,
}

impl<T> RowKey<T> {
    /// Its value as it would be written in the file.
    #[must_use]
    pub fn get(&self, row: &T) -> Toml {
        (self.get)(row)
    }
}

/// A row as it would be written in a file.
pub(super) fn to_toml<T>(keys: &[RowKey<T>], row: &T) -> Table {
    keys.iter().map(|key| (key.key.to_owned(), key.get(row))).collect()
}

macro_rules! row_name {
    ($key:ident) => {
        stringify!($key)
    };
    ($key:ident $name:literal) => {
        $name
    };
}

macro_rules! rows {
    (
        $(#[doc = $row_doc:literal])+
        $Row:ident, $(#[doc = $keys_doc:literal])+ $KEYS:ident;
        $( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr $(, named $name:literal)? $(, checked by $check:path)?; )+
    ) => {
        $(#[doc = $row_doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $Row {
            $( $(#[doc = $doc])+ pub $key: $type, )+
        }

        impl Default for $Row {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        $(#[doc = $keys_doc])+
        pub const $KEYS: &[$crate::config::rows::RowKey<$Row>] = &[$(
            $crate::config::rows::RowKey {
                key: $crate::config::rows::row_name!($key $($name)?),
                kind: <$type as $crate::config::value::Value>::KIND,
                doc: concat!($($doc),+),
                set: |row, value| {
                    let value = <$type as $crate::config::value::Value>::from_toml(value)?;
                    $( $check(&value)?; )?
                    row.$key = value;
                    Ok(())
                },
                get: |row| $crate::config::value::Value::to_toml(&row.$key),
            },
        )+];

        impl $Row {
            /// As it would be written in a file.
            #[must_use]
            pub fn to_toml(&self) -> toml::Table {
                $crate::config::rows::to_toml($KEYS, self)
            }
        }
    };
}

pub(super) use {row_name, rows};

/// What such a list is called: its section, and one of its tables for people.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) section: &'static str,
    pub(super) one: &'static str,
}

/// Reads every table of a list, and adds what is wrong with them. With each comes which of its keys were wrong.
pub(super) fn read<T: Default>(
    named: Named,
    keys: &[RowKey<T>],
    value: &Toml,
    origin: &Origin,
    mistakes: &mut Vec<Mistake>,
) -> Vec<(T, Vec<String>)> {
    let Named { section, one } = named;
    let mut add = |key: String, what: String| mistakes.push(Mistake { origin: origin.clone(), key, what });
    let Some(items) = value.as_array() else {
        add(section.to_owned(), format!("must be a list of tables: begin each {one} with [[{section}]]"));
        return Vec::new();
    };
    let mut rows = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let place = format!("{section}[{index}]");
        let Some(table) = item.as_table() else {
            add(place, format!("must be a table: begin it with [[{section}]]"));
            continue;
        };
        let (mut row, mut wrong) = (T::default(), Vec::new());
        for (key, value) in table {
            if let Err(what) = set(one, keys, &mut row, key, value) {
                wrong.push(key.clone());
                add(format!("{place}.{key}"), what);
            }
        }
        rows.push((row, wrong));
    }
    rows
}

fn set<T>(one: &str, keys: &[RowKey<T>], row: &mut T, key: &str, value: &Toml) -> Result<(), String> {
    match keys.iter().find(|known| known.key == key) {
        Some(known) => (known.set)(row, value),
        None => Err(match nearest(key, keys.iter().map(|known| known.key)) {
            Some(name) => format!("is not a setting of a {one}; did you mean {name:?}?"),
            None => format!("is not a setting of a {one}"),
        }),
    }
}
