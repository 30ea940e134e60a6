//! The network, its tokenizer and the preparation of pictures and films against the published classes, on tiny random
//! weights.
#![allow(clippy::unwrap_used)]

mod goldens;
mod preparation;

use candle_core::Tensor;
use goldens::{Case, Golden, NAMES};
use parallax_nn::ignore;
use parallax_qwen3_vl::{Choice, Options, Prompt, Session};
use parallax_test_networks::assert_close;

/// Bounds of what is meant to be equal, relative and absolute.
const STAGE: (f32, f32) = (1e-4, 1e-4);
const LOGITS: (f32, f32) = (0.0, 1e-3);

fn close(name: &str, got: &Tensor, want: &Tensor, (relative, absolute): (f32, f32)) {
    assert_close(name, got, want, relative, absolute);
}

fn read(golden: &Golden, prompts: &[&Prompt], room: usize) -> (Session, Tensor) {
    golden.model.network().read(prompts, room, &|| true, &mut ignore).unwrap()
}

#[test]
fn a_picture_goes_through_the_published_stages() {
    for name in NAMES {
        let golden = Golden::open(name);
        let prompt = golden.prompt("image");
        let mut seen = std::collections::HashSet::new();
        let network = golden.model.network();
        let mut tap = |stage: &str, got: &Tensor| {
            let key = format!("image.{stage}");
            if let Some(want) = golden.stages.get(&key) {
                close(&format!("{name} {key}"), got, want, STAGE);
                seen.insert(stage.to_owned());
            }
            Ok(())
        };
        network.read(&[&prompt], 0, &|| true, &mut tap).unwrap();
        let config = network.config();
        let (text, vision) = (&config.text_config, &config.vision_config);
        let deep = vision.deepstack_visual_indexes.len();
        // Every block, layer and merger, the patches, and the last norm.
        assert_eq!(seen.len(), text.num_hidden_layers + vision.depth + deep + 3, "{seen:?}");
    }
}

#[test]
fn prompts_are_laid_out_and_answered_as_published() {
    for name in NAMES {
        let golden = Golden::open(name);
        for case in Case::ALL {
            let (prompt, wanted) = (golden.prompt(case), &golden.expected["cases"][case]);
            assert_eq!(prompt.ids, Golden::ids(&wanted["ids"]), "{name} {case}");
            let greedy = Golden::ids(&wanted["greedy"]);
            let (mut session, mut logits) = read(&golden, &[&prompt], greedy.len());
            let first = &golden.stages[&format!("{case}.first")];
            for (i, &token) in greedy.iter().enumerate() {
                if i < first.dim(0).unwrap() {
                    let want = first.narrow(0, i, 1).unwrap();
                    close(&format!("{name} {case} {i}"), &logits, &want, LOGITS);
                }
                let best = logits.argmax(1).unwrap().to_vec1::<u32>().unwrap();
                assert_eq!(best, [token], "{name} {case} {i}");
                if i + 1 < greedy.len() {
                    logits = golden.model.network().next(&mut session, &[token]).unwrap();
                }
            }
            assert_eq!(session.length(), prompt.ids.len() + greedy.len() - 1);
            assert!(
                golden.model.network().next(&mut session, &[0]).is_ok(),
                "the last of its room"
            );
            assert!(golden.model.network().next(&mut session, &[0]).is_err(), "beyond its room");
        }
    }
}

#[test]
fn every_prefix_gives_what_the_whole_gives_there() {
    for name in NAMES {
        let golden = Golden::open(name);
        let prompt = golden.prompt("text");
        let want = &golden.stages["text.logits"];
        let row = |i: usize| want.narrow(0, i, 1).unwrap();
        let one = Prompt { ids: prompt.ids[..1].to_vec(), pictures: vec![] };
        let (mut session, mut logits) = read(&golden, &[&one], prompt.ids.len());
        for i in 0..prompt.ids.len() {
            close(&format!("{name} token by token, {i}"), &logits, &row(i), LOGITS);
            let prefix = Prompt { ids: prompt.ids[..=i].to_vec(), pictures: vec![] };
            close(&format!("{name} prefix {i}"), &read(&golden, &[&prefix], 0).1, &row(i), LOGITS);
            if let Some(&next) = prompt.ids.get(i + 1) {
                logits = golden.model.network().next(&mut session, &[next]).unwrap();
            }
        }
        // Behind a picture, too.
        let prompt = golden.prompt("image");
        let want = &golden.stages["image.logits"];
        for i in prompt.ids.len() - 12..prompt.ids.len() {
            let prefix = Prompt { ids: prompt.ids[..=i].to_vec(), ..prompt.clone() };
            let (_, logits) = read(&golden, &[&prefix], 0);
            close(
                &format!("{name} picture and {i}"),
                &logits,
                &want.narrow(0, i, 1).unwrap(),
                LOGITS,
            );
        }
    }
}

#[test]
fn prompts_of_several_lengths_are_answered_side_by_side_as_alone() {
    for name in NAMES {
        let golden = Golden::open(name);
        let wanted = &golden.expected["batch"];
        let cases: Vec<String> = serde_json::from_value(wanted["cases"].clone()).unwrap();
        let prompts: Vec<Prompt> = cases.iter().map(|case| golden.prompt(case)).collect();
        let prompts: Vec<&Prompt> = prompts.iter().collect();
        let greedy: Vec<Vec<u32>> =
            wanted["greedy"].as_array().unwrap().iter().map(Golden::ids).collect();
        let (mut session, mut logits) = read(&golden, &prompts, greedy[0].len());
        let first = &golden.stages["batch.first"];
        for i in 0..greedy[0].len() {
            if i < first.dim(1).unwrap() {
                let want = first.narrow(1, i, 1).unwrap().squeeze(1).unwrap();
                close(&format!("{name} batch {i}"), &logits, &want, LOGITS);
            }
            let tokens: Vec<u32> = greedy.iter().map(|row| row[i]).collect();
            assert_eq!(logits.argmax(1).unwrap().to_vec1::<u32>().unwrap(), tokens, "{name} {i}");
            logits = golden.model.network().next(&mut session, &tokens).unwrap();
        }
    }
}

/// More than one piece of 512 tokens: read together or one by one, they are the same.
#[test]
fn long_prompts_are_read_in_pieces() {
    let golden = Golden::open("hub");
    let prompt = golden.prompt("image");
    let (before, after) = prompt.ids.split_at(3);
    let filler: Vec<u32> = (0..500).map(|i| 40 + i % 150).collect();
    let ids = [before, &filler, after].concat();
    let long = Prompt { ids, pictures: prompt.pictures };
    // The picture lies across the end of the first piece.
    let (_, whole) = read(&golden, &[&long], 0);
    let shorter = Prompt { ids: long.ids[..long.ids.len() - 15].to_vec(), ..long.clone() };
    let (mut session, mut logits) = read(&golden, &[&shorter], 15);
    for &id in &long.ids[shorter.ids.len()..] {
        logits = golden.model.network().next(&mut session, &[id]).unwrap();
    }
    close("in pieces", &logits, &whole, LOGITS);
    // A batch of it and of a short one has the pieces elsewhere.
    let short = golden.prompt("tall");
    let (_, both) = read(&golden, &[&short, &long], 0);
    close("beside another", &both.narrow(0, 1, 1).unwrap(), &whole, LOGITS);
    close("the other", &both.narrow(0, 0, 1).unwrap(), &read(&golden, &[&short], 0).1, LOGITS);
}

#[test]
fn answers_come_in_pieces_that_are_the_whole_and_end_where_they_are_bounded() {
    for name in NAMES {
        let golden = Golden::open(name);
        let (prompt, other) = (golden.prompt("image"), golden.prompt("tall"));
        let options = Options { most: 12, choice: Choice::Greedy };
        let mut pieces = vec![String::new(); 2];
        let mut told = |row: usize, piece: &str| pieces[row].push_str(piece);
        let both = golden.model.write(&[&prompt, &other], options, &mut told, &|| true).unwrap();
        for (written, case) in both.iter().zip(["image", "tall"]) {
            let greedy = Golden::ids(&golden.expected["cases"][case]["greedy"]);
            assert_eq!(written.text, golden.model.tokenizer().text(&greedy[..12]).unwrap());
            assert_eq!((written.tokens, written.ended), (12, false));
        }
        assert_eq!(pieces, [both[0].text.clone(), both[1].text.clone()]);
        let again = golden.model.write(&[&prompt], options, &mut |_, _| (), &|| true).unwrap();
        assert_eq!(again[0], both[0]);
        // Whoever leaves ends it before the next token.
        let left = std::cell::Cell::new(5);
        let go_on = || left.replace(left.get() - 1) > 1;
        let mut count = 0;
        assert!(golden.model.write(&[&prompt], options, &mut |_, _| count += 1, &go_on).is_err());
        assert!(count <= 4 && left.get() == 0, "{count}, {left:?}");
    }
}

#[test]
fn bad_prompts_are_refused() {
    let golden = Golden::open("newer");
    let image = golden.prompt("image");
    let refused = |prompt: &Prompt| {
        let read = golden.model.network().read(&[prompt], 1, &|| true, &mut ignore);
        read.unwrap_err().to_string()
    };
    assert!(refused(&Prompt { ids: vec![], pictures: vec![] }).contains("without tokens"));
    assert!(refused(&Prompt { ids: vec![1 << 20], pictures: vec![] }).contains("a token 1048576"));
    let bare = Prompt { pictures: vec![], ..image.clone() };
    assert!(refused(&bare).contains("a picture that is not there"));
    let more = Prompt { pictures: [&image.pictures[..], &image.pictures[..]].concat(), ..image };
    assert!(refused(&more).contains("more pictures"));
}
