//! The media domain: streams, videos and pictures.

mod clips;
mod house;
mod images;
mod invalidations;
mod reports;
mod streams;
mod uploads;
mod videos;
