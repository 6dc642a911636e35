//! Endpoints of reports and of what moderators decide: from the report over the decision, which the person is told with its reasons, to the
//! appeal (Regulation (EU) 2022/2065, articles 16, 17 and 20).

pub(crate) mod act;
pub(crate) mod appeal;
pub(crate) mod appeals;
pub(crate) mod claim;
pub(crate) mod create;
pub(crate) mod decide;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod resolve;
pub(crate) mod strike;
pub(crate) mod strikes;
pub(crate) mod suspend;
pub(crate) mod unsuspend;
pub(crate) mod warn;
