//! Values both engines carry the same way: ids as TEXT, booleans as SMALLINT.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Mutex;

use nova_core::clock::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sqlx::any::{Any, AnyTypeInfo, AnyTypeInfoKind, AnyValueRef};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Type};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{self, KnownFormat, ObjectBuilder, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};
use uuid::{ContextV7, Uuid};

/// A boolean column: SMALLINT 0 or 1, since the engines share no boolean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Flag(pub bool);

impl Type<Any> for Flag {
    fn type_info() -> AnyTypeInfo {
        <i64 as Type<Any>>::type_info()
    }

    fn compatible(ty: &AnyTypeInfo) -> bool {
        matches!(
            ty.kind(),
            AnyTypeInfoKind::SmallInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::BigInt
        )
    }
}

impl Encode<'_, Any> for Flag {
    fn encode_by_ref(&self, buffer: &mut <Any as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Any>::encode(i64::from(self.0), buffer)
    }
}

impl<'r> Decode<'r, Any> for Flag {
    fn decode(value: AnyValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<i64 as Decode<Any>>::decode(value)? != 0))
    }
}

/// The id of a `T`: a UUIDv7, time-ordered and telling no counts. TEXT in the database, a UUID string in JSON and URLs. `T` is a marker
/// that keeps the ids of different things apart.
pub struct Id<T>(Uuid, PhantomData<fn() -> T>);

impl<T> Id<T> {
    /// A new id, greater than all that this process made before.
    pub fn new(now: Timestamp) -> Self {
        static ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());
        let micros = u64::try_from(now.0).unwrap_or(0);
        let nanos = u32::try_from(micros % 1_000_000 * 1000).unwrap_or(0);
        let order = ORDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self::from(Uuid::new_v7(uuid::Timestamp::from_unix(
            &*order,
            micros / 1_000_000,
            nanos,
        )))
    }

    /// The UUID inside.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl<T> From<Uuid> for Id<T> {
    fn from(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }
}

impl<T> FromStr for Id<T> {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self::from)
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from)
    }
}

impl<T> PartialSchema for Id<T> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(schema::Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
            .into()
    }
}

impl<T> ToSchema for Id<T> {
    fn name() -> Cow<'static, str> {
        "Id".into()
    }
}

impl<T> Type<Any> for Id<T> {
    fn type_info() -> AnyTypeInfo {
        <String as Type<Any>>::type_info()
    }
}

impl<T> Encode<'_, Any> for Id<T> {
    fn encode_by_ref(&self, buffer: &mut <Any as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Any>::encode(self.0.to_string(), buffer)
    }
}

impl<'r, T> Decode<'r, Any> for Id<T> {
    fn decode(value: AnyValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(<&str as Decode<Any>>::decode(value)?.parse()?)
    }
}

/// A person with an account: the marker of [`UserId`].
pub enum User {}

/// Who somebody is, everywhere.
pub type UserId = Id<User>;

/// One login of a person on one device: the marker of [`SessionId`].
pub enum Session {}

/// One login of a person on one device.
pub type SessionId = Id<Session>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn flags_survive_both_engines() {
        for db in testing::databases().await {
            let mut tx = db.begin().await.unwrap();
            sqlx::raw_sql("CREATE TABLE flags (a SMALLINT NOT NULL)")
                .execute(tx.conn())
                .await
                .unwrap();
            for flag in [Flag(true), Flag(false)] {
                sqlx::query("INSERT INTO flags (a) VALUES ($1)")
                    .bind(flag)
                    .execute(tx.conn())
                    .await
                    .unwrap();
            }
            let flags: Vec<Flag> = sqlx::query_scalar("SELECT a FROM flags ORDER BY a")
                .fetch_all(tx.conn())
                .await
                .unwrap();
            assert_eq!(flags, [Flag(false), Flag(true)]);
        }
    }

    #[tokio::test]
    async fn ids_rise_in_the_order_they_are_made_and_survive_both_engines() {
        let now = Timestamp(1_795_478_399_000_000);
        let ids: Vec<UserId> = (0..1000).map(|_| UserId::new(now)).collect();
        assert!(ids.is_sorted() && ids[0] != ids[1]);
        for db in testing::databases().await {
            let back: UserId = sqlx::query_scalar("SELECT $1")
                .bind(ids[0])
                .fetch_one(db.read())
                .await
                .unwrap();
            assert_eq!(back, ids[0]);
        }
    }
}
