//! One file per command.

pub(crate) mod doctor;
pub(crate) mod migrate;
pub(crate) mod plugin;
pub(crate) mod serve;
pub(crate) mod tenant;
pub(crate) mod token;
