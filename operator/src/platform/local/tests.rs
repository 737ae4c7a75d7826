use std::os::unix::fs::PermissionsExt;

use super::*;

/// What takes its time to stop, as a broker does.
const SLOW: &str = "#!/bin/sh\ntrap 'sleep 0.5; exit 0' TERM\necho up >$2.up\nwhile :; do sleep \
                    0.02; done\n";

#[tokio::test]
async fn a_folder_goes_once_however_long_its_process_takes() {
    let data_dir = tempfile::tempdir().unwrap();
    let binary = data_dir.path().join("broker");
    std::fs::write(&binary, SLOW).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let certificates = data_dir.path().join("certificates");
    let mut processes = Processes::take_over("orders", data_dir.path(), &binary, certificates);
    let settings = Properties::new();
    processes.start(0, &settings).await;
    let identity = data_dir.path().join("orders-0/meta.properties");
    std::fs::write(identity, "directory.id=one\n").unwrap();
    let before = processes.volume(0).await.unwrap().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_up = data_dir.path().join("orders-0/broker.properties.up");
    while !is_up.exists() {
        assert!(Instant::now() < deadline, "it does not start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (mut steps, mut gone) = (0, 0);
    while let Some(volume) = processes.volume(0).await.unwrap() {
        assert!(volume == before && Instant::now() < deadline);
        let answer = processes.replace(0, Some(&before), &settings).await;
        gone += u32::from(answer.unwrap());
        steps += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
        processes.observe().await;
    }
    assert!(steps > 5, "it took {steps} steps only");
    assert_eq!(gone, 1);
    assert!(processes.observe().await[&0].runs);
    processes.stop(|| true).await;
}
