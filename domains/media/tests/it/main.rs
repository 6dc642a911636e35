//! The media domain: streams and videos.

mod house;
mod streams;
mod uploads;
mod videos;
