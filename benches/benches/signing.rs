//! Signed URLs for CloudFront: RSA of 2048 bits on one core. The goal is 1,000 a second.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nova_cdn::cloudfront::{Policy, Signer};

fn signing(criterion: &mut Criterion) {
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cdn/testdata/cloudfront/pkcs8.pem");
    let signer = Signer::load(&[("K2JCJMDEHXQW5F".into(), key)]);
    let signer = signer.expect("the key of the tests").expect("a key");
    let url = "https://d1.cloudfront.net/vod/019ad7c2/master.m3u8";
    let policy = Policy {
        resource: "https://d1.cloudfront.net/vod/019ad7c2/*".into(),
        until: 1_795_478_399,
        from: None,
        network: None,
    };
    let mut group = criterion.benchmark_group("cloudfront");
    group.throughput(Throughput::Elements(1));
    group.bench_function("canned URL", |bencher| {
        bencher.iter(|| signer.sign_url(black_box(url), 1_795_478_399).expect("signed"));
    });
    group.bench_function("query and cookies of a custom policy", |bencher| {
        bencher.iter(|| signer.grant(black_box(&policy)).expect("signed"));
    });
    group.finish();
}

criterion_group!(benches, signing);
criterion_main!(benches);
