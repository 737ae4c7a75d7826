mod ending;
mod initializing;
mod markers;
mod random;
mod record;
mod rotation;
mod script;
mod versions;
