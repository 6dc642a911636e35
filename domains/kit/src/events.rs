//! The catalogue of events: what domains tell each other. The one vocabulary they share.
//!
//! A payload only grows, and a new field has a default, so that an event written by the release before can be read.

use serde::{Deserialize, Serialize};

use crate::db::UserId;
use crate::outbox::Event;

macro_rules! events {
    ($($(#[$docs:meta])* $name:ident $kind:literal by $key:ident { $($(#[$field_docs:meta])* $field:ident: $type:ty),* $(,)? })+) => {
        $(
            $(#[$docs])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name { $($(#[$field_docs])* pub $field: $type),* }

            impl Event for $name {
                const TYPE: &'static str = $kind;

                fn key(&self) -> String {
                    self.$key.to_string()
                }
            }
        )+

        /// Every name there is.
        pub const CATALOGUE: &[&str] = &[$($kind),+];
    };
}

events! {
    /// An account was made; its address may not be proved yet.
    UserRegistered "user.registered" by user {
        /// Who.
        user: UserId,
        /// The name they chose.
        username: String,
    }
    /// An address was proved to be theirs.
    UserVerified "user.verified" by user {
        /// Who.
        user: UserId,
    }
    /// An account is gone, with everything every domain held about it.
    UserDeleted "user.deleted" by user {
        /// Who it was.
        user: UserId,
    }
    /// Somebody logged in.
    SessionCreated "session.created" by user {
        /// Who.
        user: UserId,
        /// Which login.
        session: String,
        /// True when no login of theirs looked like this before.
        new_device: bool,
    }
    /// A login ended, by its person or by somebody who may.
    SessionRevoked "session.revoked" by user {
        /// Whose.
        user: UserId,
        /// Which login.
        session: String,
    }
    /// A refresh token came a second time after its successor was used: somebody has a copy.
    RefreshReuse "security.refresh_reuse" by user {
        /// Whose.
        user: UserId,
        /// The login that was ended for it.
        session: String,
    }
    /// What others see of a person has changed.
    ProfileUpdated "profile.updated" by user {
        /// Who.
        user: UserId,
    }
    /// Somebody asks to follow a private account.
    FollowRequested "follow.requested" by followee {
        /// Who asks.
        follower: UserId,
        /// Who is asked.
        followee: UserId,
    }
    /// Somebody follows somebody.
    FollowCreated "follow.created" by followee {
        /// Who follows.
        follower: UserId,
        /// Whom.
        followee: UserId,
    }
    /// Somebody follows somebody no more.
    FollowRemoved "follow.removed" by followee {
        /// Who followed.
        follower: UserId,
        /// Whom.
        followee: UserId,
    }
    /// Somebody does not want to meet somebody.
    BlockCreated "block.created" by blocker {
        /// Who blocks.
        blocker: UserId,
        /// Whom.
        blocked: UserId,
    }
    /// Something was reported.
    ReportCreated "report.created" by report {
        /// Which report.
        report: String,
    }
    /// A moderator decided about a report.
    ReportResolved "report.resolved" by report {
        /// Which report.
        report: String,
        /// Who decided.
        moderator: UserId,
    }
    /// A moderator did something to an account: `warn`, `suspend`, `unsuspend`, or `lift` when a decision was taken back and nothing else changed; or to
    /// something of theirs: `remove_stream`, `stop_stream`, `remove_video`, `remove_image`.
    ModerationAction "moderation.action" by user {
        /// To whom.
        user: UserId,
        /// What.
        action: String,
    }
    /// A broadcast began.
    StreamStarted "stream.started" by stream {
        /// Which stream.
        stream: String,
        /// Whose.
        owner: UserId,
    }
    /// A video that somebody uploaded can be watched.
    VideoReady "vod.ready" by video {
        /// Which.
        video: String,
        /// Whose it is.
        owner: UserId,
    }
    /// A broadcast ended.
    StreamEnded "stream.ended" by stream {
        /// Which stream.
        stream: String,
        /// Whose.
        owner: UserId,
    }
    /// A picture is gone, and nothing shows it any more.
    ImageDeleted "image.deleted" by image {
        /// Which picture.
        image: String,
        /// Whose it was.
        owner: UserId,
    }
    /// Somebody's data is ready to be taken along.
    ExportReady "export.ready" by user {
        /// Whose.
        user: UserId,
    }
}
