//! Who reads and writes at once, what a kill leaves behind, and how damage is told.

use super::*;

#[test]
fn the_second_writer_is_told_who_is_first() {
    let (folder, store) = fresh_store();
    match Store::open(folder.path()) {
        Err(StoreError::Busy { path, pid }) => {
            assert_eq!(
                (path.as_path(), pid),
                (folder.path(), Some(std::process::id()))
            );
        }
        other => panic!("{other:?}"),
    }
    drop(store);
    Store::open(folder.path()).unwrap();
}

#[test]
fn readers_read_while_the_writer_writes() {
    let (folder, mut store) = fresh_store();
    let reader = StoreReader::open(folder.path()).unwrap();
    let seen = store.write_transaction("testing", |transaction| {
        transaction.execute("DELETE FROM runs", [])?;
        Ok((
            reader.runs("one")?.len(),
            StoreReader::open(folder.path())?.runs("one")?.len(),
        ))
    });
    assert_eq!(seen.unwrap(), (2, 2), "what is not committed is not seen");
    assert_eq!(reader.runs("one").unwrap().len(), 0);
    record_evaluation(&mut store);
    drop(store);
    assert_eq!(
        reader.episodes(&key("evaluate")).unwrap().len(),
        3,
        "a reader outlives the writer"
    );
}

#[test]
fn a_reader_does_not_create_anything() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        StoreReader::open(folder.path()),
        Err(StoreError::Missing { .. })
    ));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_a_dead_process_left_running_is_interrupted() {
    let (folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    store.record_stage_start(&key("base")).unwrap();
    store
        .set_run_status("one", &key("weak"), Status::Running, None)
        .unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(stage_status(&store, "base"), Status::Interrupted);
    assert_eq!(stage_status(&store, "evaluate"), Status::Done);
    assert_eq!(stage_status(&store, "evaluate greedily"), Status::Queued);
    let statuses: Vec<_> = store
        .runs("one")
        .unwrap()
        .into_iter()
        .map(|row| row.status)
        .collect();
    assert_eq!(statuses, [Status::Interrupted, Status::Queued]);
}

/// The files as they lie on disk while the writer is at work are what a kill leaves behind.
#[test]
fn files_left_by_a_kill_hold_every_finished_transaction() {
    let (folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    store.record_stage_start(&key("base")).unwrap();
    let left = tempfile::tempdir().unwrap();
    for file in ["rise-lab.db", "rise-lab.db-wal"] {
        fs::copy(folder.path().join(file), left.path().join(file)).unwrap();
    }
    let reader = StoreReader::open(left.path()).unwrap();
    assert_eq!(
        stage_status(&reader, "base"),
        Status::Running,
        "a reader reports what is written"
    );
    let survivor = Store::open(left.path()).unwrap();
    assert_eq!(stage_status(&survivor, "base"), Status::Interrupted);
    assert_eq!(
        survivor.episodes(&key("evaluate")).unwrap(),
        store.episodes(&key("evaluate")).unwrap()
    );
    assert_eq!(
        survivor.query("PRAGMA integrity_check", 1).unwrap().rows,
        [[json!("ok")]]
    );
}

#[test]
fn opening_again_changes_nothing() {
    let (folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    let dump = |reader: &StoreReader| {
        (
            reader.experiment_stages("one").unwrap(),
            reader.runs("one").unwrap(),
            reader.episodes(&key("evaluate")).unwrap(),
        )
    };
    let before = dump(&store);
    drop(store);
    assert_eq!(dump(&planned_store(folder.path())), before);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let refused = Store::open(&file.join("store")).unwrap_err();
    assert!(
        matches!(&refused, StoreError::CannotWrite { path, .. } if path.starts_with(&file)),
        "{refused}"
    );
    let blocked = folder.path().join("blocked");
    fs::create_dir_all(blocked.join("rise-lab.db")).unwrap();
    assert!(matches!(
        Store::open(&blocked),
        Err(StoreError::CannotWrite { .. })
    ));
}

#[test]
fn damage_is_reported_as_damage() {
    let (folder, mut store) = fresh_store();
    record_evaluation(&mut store);
    drop(store);
    let path = folder.path().join("rise-lab.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let found = StoreReader::open(folder.path()).and_then(|reader| reader.runs("one"));
    assert!(
        matches!(found, Err(StoreError::Damaged { .. })),
        "{found:?}"
    );
}

#[test]
fn words_that_mean_nothing_are_damage() {
    let (folder, store) = fresh_store();
    let shell = rusqlite::Connection::open(folder.path().join("rise-lab.db")).unwrap();
    shell.execute("UPDATE runs SET spec = '{'", []).unwrap();
    assert!(matches!(store.runs("one"), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_reader_knows_whether_somebody_is_writing() {
    let (folder, store) = fresh_store();
    let reader = StoreReader::open(folder.path()).unwrap();
    assert!(reader.is_being_written());
    drop(store);
    assert!(!reader.is_being_written());
    assert!(
        Store::open(folder.path()).is_ok(),
        "looking leaves no lock behind"
    );
}
