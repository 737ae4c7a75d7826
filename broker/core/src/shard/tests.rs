use super::partition_for;

#[test]
fn a_key_is_where_java_puts_it() {
    // "polygenelubricants".hashCode() is the smallest i32, which has no absolute value
    assert_eq!(partition_for("polygenelubricants", 50), 0);
    // -1906497762 is another place without its sign than without its sign bit
    assert_eq!(partition_for("my-group", 50), 12);
    assert_eq!(partition_for("", 50), 0);
    // 31 * 'a' + 'b' = 3105; beyond ASCII it is UTF-16 units that count
    assert_eq!(partition_for("ab", 50), 5);
    assert_eq!(partition_for("é", 50), 0xe9 % 50);
    assert_eq!(partition_for("console-consumer-12345", 50), {
        let hash = "console-consumer-12345".bytes().fold(0_i64, |hash, byte| {
            (hash * 31 + i64::from(byte)) & 0xffff_ffff
        });
        i32::try_from((hash & 0x7fff_ffff) % 50).expect("below 50")
    });
}
