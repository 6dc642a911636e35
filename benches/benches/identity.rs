//! What identity costs: a password hash on one thread, a burst of logins on every core, an access token seen before and one that is new.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nova_core::clock::Timestamp;
use nova_identity::hash::{self, Hasher};
use nova_identity::password::{self, Normalized};
use nova_identity::random::Random;
use nova_identity::revocation::Revocations;
use nova_identity::token::{Config, Grant, Keyring, Tokens};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
const LOGINS: usize = 64;

fn passwords(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let random = Random::seeded(1);
    let hasher = Hasher::new(hash::Config::default(), &random).unwrap();
    let typed = Normalized::for_check("correct horse battery staple").unwrap();
    let stored = runtime.block_on(hasher.hash(typed.clone(), &random)).unwrap();
    let mut group = c.benchmark_group("identity");
    group.sample_size(20).measurement_time(Duration::from_secs(10));
    group.bench_function("check one password", |b| {
        b.iter(|| runtime.block_on(hasher.verify(typed.clone(), Some(&stored))).unwrap());
    });
    group.throughput(Throughput::Elements(LOGINS as u64));
    group.bench_function("check 64 passwords at once", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let mut logins = tokio::task::JoinSet::new();
                for _ in 0..LOGINS {
                    let (hasher, typed, stored) = (hasher.clone(), typed.clone(), stored.clone());
                    logins.spawn(async move { hasher.verify(typed, Some(&stored)).await.unwrap() });
                }
                logins.join_all().await
            })
        });
    });
    group.finish();
    let context = password::Context::default();
    let long: String = "aA1!".repeat(250);
    c.bench_function("identity/judge a password of 28 characters", |b| {
        b.iter(|| password::check(black_box("correct horse battery staple"), &context));
    });
    c.bench_function("identity/judge a password of 1,000 characters", |b| {
        b.iter(|| password::check(black_box(&long), &context));
    });
}

fn tokens(c: &mut Criterion) {
    let random = Random::seeded(1);
    let config = Config {
        issuer: "https://nova.example".to_owned(),
        audience: "https://nova.example/api".to_owned(),
        lifetime: Duration::from_secs(900),
        remembered: 100_000,
    };
    let keys = Keyring::generate(NOW, &random);
    let tokens = Tokens::new(config, &keys, Revocations::new());
    let grant = |n: usize| Grant {
        user: format!("0198a5c2-7f3e-7b2a-9c4d-{n:012}"),
        session: format!("0198a5c2-7f3e-7b2a-9c4e-{n:012}"),
        role: "viewer".to_owned(),
        scope: "chat profile".to_owned(),
        auth_time: NOW,
        amr: vec!["pwd".to_owned()],
    };
    let many: Vec<String> = (0..10_000)
        .map(|n| tokens.issue(grant(n), NOW, &random).unwrap().token)
        .collect();
    for n in 0..1000 {
        tokens
            .revocations()
            .revoke_sessions([format!("ended-{n}").as_str()], Timestamp(i64::MAX));
    }
    for token in &many {
        tokens.check(token, NOW).unwrap();
    }
    let mut group = c.benchmark_group("identity");
    group.throughput(Throughput::Elements(1));
    let mut turn = many.iter().cycle();
    group.bench_function("check a token seen before, one of 10,000", |b| {
        b.iter(|| tokens.check(turn.next().unwrap(), NOW).unwrap());
    });
    group.bench_function("check a new token", |b| {
        b.iter_batched(
            || tokens.set_keys(&keys),
            |()| tokens.check(&many[0], NOW).unwrap(),
            criterion::BatchSize::PerIteration,
        );
    });
    group.bench_function("issue a token", |b| {
        b.iter(|| tokens.issue(grant(1), NOW, &random).unwrap())
    });
    group.finish();
}

criterion_group!(benches, passwords, tokens);
criterion_main!(benches);
