//! The media domain: streams, videos and pictures.

mod house;
mod images;
mod reports;
mod streams;
mod uploads;
mod videos;
