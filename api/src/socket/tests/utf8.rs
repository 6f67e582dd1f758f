//! Byte sequences that are UTF-8 and that are not, as in section 6 of the Autobahn suite, after the
//! decoder test of Markus Kuhn.

/// Valid texts.
pub const VALID: [&[u8]; 22] = [
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!", // 6.2
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",                            // 6.5.5
    b"\x7f",                                                                    // 6.9.1
    b"\xc2\x80",                                                                // 6.7.2
    b"\xe0\xa0\x80",                                                            // 6.7.3
    b"\xf0\x90\x80\x80",                                                        // 6.7.4
    b"\xdf\xbf",                                                                // 6.9.2
    b"\xef\xbf\xbf",                                                            // 6.9.3
    b"\xf4\x8f\xbf\xbf",                                                        // 6.9.4
    b"\xed\x9f\xbf",                                                            // 6.11.1
    b"\xee\x80\x80",                                                            // 6.11.2
    b"\xef\xbf\xbd",                                                            // 6.11.3
    b"\xf4\x8f\xbf\xbf",                                                        // 6.11.4
    b"\xef\xbf\xbe",                                                            // 6.22.1
    b"\xf0\x9f\xbf\xbe",                                                        // 6.22.3
    b"\xf0\xaf\xbf\xbe",
    b"\xf0\xbf\xbf\xbf",
    b"\xf1\x8f\xbf\xbe",
    b"\xf2\xbf\xbf\xbf",
    b"\xf3\x8f\xbf\xbe",
    b"\xf3\xbf\xbf\xbf",
    b"\xef\xbf\xbd", // 6.23
];

/// Sequences that no valid text has.
pub const INVALID: [&[u8]; 47] = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", // 6.3
    b"\xce",                                                           // 6.6.1
    b"\xce\xba\xe1",                                                   // 6.6.3
    b"\xce\xba\xe1\xbd",                                               // 6.6.4
    b"\xf8\x88\x80\x80\x80",                                           // 6.8.1
    b"\xfc\x84\x80\x80\x80\x80",                                       // 6.8.2
    b"\xf7\xbf\xbf\xbf",                                               // 6.10.1
    b"\xfb\xbf\xbf\xbf\xbf",                                           // 6.10.2
    b"\xfd\xbf\xbf\xbf\xbf\xbf",                                       // 6.10.3
    b"\xf4\x90\x80\x80",                                               // 6.11.5
    b"\x80",                                                           // 6.12.1
    b"\xbf",                                                           // 6.12.2
    b"\x80\xbf",                                                       // 6.12.3
    b"\x80\xbf\x80",                                                   // 6.12.4
    b"\x80\xbf\x80\xbf\x80\xbf\x80\xbf",                               // 6.12.8
    b"\xc0 \xc1 \xc2 \xdf ",                                           // 6.13.1
    b"\xe0 \xe1 \xee \xef ",                                           // 6.13.2
    b"\xf0 \xf1 \xf6 \xf7 ",                                           // 6.13.3
    b"\xf8 \xf9 \xfa \xfb ",                                           // 6.13.4
    b"\xfc ",                                                          // 6.13.5
    b"\xc0",                                                           // 6.14.1
    b"\xe0\x80",                                                       // 6.14.2
    b"\xf0\x80\x80",                                                   // 6.14.3
    b"\xf8\x80\x80\x80",                                               // 6.14.4
    b"\xdf",                                                           // 6.14.6
    b"\xef\xbf",                                                       // 6.14.7
    b"\xf7\xbf\xbf",                                                   // 6.14.8
    b"\xc0\xe0\x80\xf0\x80\x80",                                       // 6.15.1
    b"\xfe",                                                           // 6.16.1
    b"\xff",                                                           // 6.16.2
    b"\xfe\xfe\xff\xff",                                               // 6.16.3
    b"\xc0\xaf",                                                       // 6.17.1
    b"\xe0\x80\xaf",                                                   // 6.17.2
    b"\xf0\x80\x80\xaf",                                               // 6.17.3
    b"\xf8\x80\x80\x80\xaf",                                           // 6.17.4
    b"\xc1\xbf",                                                       // 6.18.1
    b"\xe0\x9f\xbf",                                                   // 6.18.2
    b"\xf0\x8f\xbf\xbf",                                               // 6.18.3
    b"\xc0\x80",                                                       // 6.19.1
    b"\xe0\x80\x80",                                                   // 6.19.2
    b"\xf0\x80\x80\x80",                                               // 6.19.3
    b"\xed\xa0\x80",                                                   // 6.20.1
    b"\xed\xad\xbf",                                                   // 6.20.2
    b"\xed\xae\x80",                                                   // 6.20.3
    b"\xed\xbf\xbf",                                                   // 6.20.7
    b"\xed\xa0\x80\xed\xb0\x80",                                       // 6.21.1
    b"\xed\xaf\xbf\xed\xbf\xbf",                                       // 6.21.8
];
