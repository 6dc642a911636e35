//! All domains together, as the binary joins them: what must hold for every table and for every operation of the API.

mod asvs;
mod house;
mod matrix;
mod personal_data;
mod reports;
