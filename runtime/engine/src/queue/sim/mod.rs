//! The queue under simulation: workers that are the real ones, on machines whose clocks differ,
//! which crash, stand still and lose their way to the database; the database in memory; everything
//! by a seed, so that what was found once is found again. An [`oracle`] says what must hold.

mod dice;
mod executor;
mod host;
mod memory;
mod oracle;
mod plan;
mod planted;
mod tests;
mod world;
