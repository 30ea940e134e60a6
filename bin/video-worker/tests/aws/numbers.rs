//! What goes to CloudWatch is what the table says, name by name and dimension by dimension. The emulator
//! does not speak CloudWatch's present protocol, so the requests themselves are read.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Daemon};

/// Reads one item of CBOR, of the kinds that a request has.
fn item(bytes: &mut &[u8]) -> Option<Value> {
    let first = take(bytes, 1)?[0];
    let (kind, short) = (first >> 5, first & 31);
    if (kind, short) == (7, 31) {
        return None;
    }
    let number = match short {
        0..24 => u64::from(short),
        24..28 => take(bytes, 1 << (short - 24))?.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
        _ => u64::MAX,
    };
    Some(match kind {
        0 => json!(number),
        3 if number == u64::MAX => {
            let mut text = String::new();
            while let Some(part) = item(bytes) {
                text += part.as_str().unwrap();
            }
            json!(text)
        }
        3 => json!(String::from_utf8(take(bytes, number as usize)?.to_vec()).unwrap()),
        4 => {
            let most = usize::try_from(number).unwrap();
            std::iter::from_fn(|| item(bytes)).take(most).collect()
        }
        5 => {
            let mut map = serde_json::Map::new();
            while (map.len() as u64) < number {
                let Some(key) = item(bytes) else { break };
                map.insert(key.as_str().unwrap().to_owned(), item(bytes)?);
            }
            Value::Object(map)
        }
        6 => item(bytes)?,
        7 if short == 26 => json!(f32::from_bits(number as u32)),
        7 if short == 27 => json!(f64::from_bits(number)),
        _ => Value::Null,
    })
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (some, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(some)
}

/// Answers that all is well and passes on what was asked.
fn listen() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                loop {
                    let mut length = 0;
                    let mut line = String::new();
                    while stream.read_line(&mut line).is_ok_and(|n| n > 2) {
                        let header = line.to_ascii_lowercase();
                        if let Some(value) = header.strip_prefix("content-length: ") {
                            length = value.trim().parse().unwrap();
                        }
                        line.clear();
                    }
                    let mut body = vec![0; length];
                    if length == 0 || stream.read_exact(&mut body).is_err() {
                        return;
                    }
                    let _ = tell.send(item(&mut &body[..]).unwrap());
                    let head = b"HTTP/1.1 200 OK\r\nsmithy-protocol: rpc-v2-cbor\r\n\
                        content-length: 2\r\n\r\n\xbf\xff";
                    stream.get_mut().write_all(head).unwrap();
                }
            });
        }
    });
    (address, told)
}

/// A metric's name, unit and the names of its dimensions.
type Shape = (String, String, BTreeSet<String>);

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn what_goes_to_cloudwatch_is_what_the_table_says() {
    let cloud = Cloud::start();
    let printed = cloud.run(&["metrics", "--json"]);
    let lines = String::from_utf8(printed.stdout).unwrap();
    let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let table: BTreeSet<Shape> = rows
        .filter(|row| row["at"] == "cloudwatch")
        .map(|row| {
            let names = row["dimensions"].as_array().unwrap().iter().map(text).collect();
            (text(&row["name"]), text(&row["unit"]), names)
        })
        .collect();
    cloud.job_in("job-m", "chunking_complete", 1);
    cloud.upload_segment("job-m", 0, 1);
    let (address, told) = listen();
    let more = [("AWS_ENDPOINT_URL_CLOUDWATCH", address.as_str()), ("PACE", "quick")];
    let daemon = Daemon::start(&cloud, &more);
    let mut found: BTreeSet<Shape> = BTreeSet::new();
    let mut completed = 0.0;
    let patience = std::time::Duration::from_secs(200);
    while found.len() < table.len() || completed < 1.0 {
        let request = told.recv_timeout(patience).expect("more is reported");
        assert_eq!(request["Namespace"], "StereoSpot/Conversion");
        for datum in request["MetricData"].as_array().unwrap() {
            let dimensions = datum["Dimensions"].as_array().unwrap();
            for dimension in dimensions.iter().filter(|one| one["Name"] == "Backend") {
                assert_eq!(dimension["Value"], "stub");
            }
            let names = dimensions.iter().map(|one| text(&one["Name"])).collect();
            let unit = datum.get("Unit").map_or("None".to_owned(), text);
            let shape = (text(&datum["MetricName"]), unit, names);
            assert!(table.contains(&shape), "{shape:?} is not in the table");
            if shape.0 == "SegmentsCompleted" {
                completed += datum["Value"].as_f64().unwrap();
            }
            found.insert(shape);
        }
    }
    assert_eq!(found, table);
    assert!(completed < 2.0, "one segment was completed once");
    let (good, log) = daemon.stop("TERM");
    assert!(good, "{log}");
}
