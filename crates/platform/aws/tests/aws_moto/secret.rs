//! The token from Secrets Manager.

use parallax_aws::fetch_token;
use parallax_ports::Kind;

use crate::moto::Moto;

#[tokio::test]
async fn the_token_is_fetched_and_its_absence_named() {
    let moto = Moto::start().await;
    let client = moto.aws.secrets();
    for (name, text) in [("plain", "hf_abc"), ("json", r#"{"hf_token":"hf_abc"}"#)] {
        client.create_secret().name(name).secret_string(text).send().await.unwrap();
        assert_eq!(fetch_token(&client, name).await.unwrap().expose(), "hf_abc");
    }
    client.create_secret().name("empty").secret_string("{}").send().await.unwrap();
    let error = fetch_token(&client, "empty").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    let error = fetch_token(&client, "nowhere").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{}", error.chain());
    assert!(error.to_string().contains("nowhere"));
}
