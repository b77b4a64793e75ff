//! What a program file must be to run on a stranger's machine.

use object::elf::{DT_NEEDED, DT_NULL, PT_DYNAMIC, PT_INTERP};
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader};
use object::{Architecture, BinaryFormat, Object, ObjectSection};
use thiserror::Error;

use crate::platform::Target;

/// The most that a program may weigh: what somebody waits for on a bad line.
pub const SIZE_LIMIT: usize = 10_000_000;

/// Why a program file is not fit to be published.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BinaryError {
    /// It is no program.
    #[error("it is no program: {0}")]
    Unreadable(String),
    /// It is for another machine.
    #[error("it is a {found} program and not one for {target}")]
    Target {
        /// What it is.
        found: String,
        /// What it should be for.
        target: Target,
    },
    /// It needs a loader or libraries of the machine that it runs on.
    #[error("it is not static: it asks for {0}")]
    NotStatic(String),
    /// It has symbols or debugging sections.
    #[error("it is not stripped: it has {0}")]
    NotStripped(String),
    /// It is too large.
    #[error("it has {0} bytes, more than {SIZE_LIMIT}")]
    TooLarge(usize),
    /// It tells where it was built.
    #[error("it contains the build path {0}")]
    BuildPath(String),
}

/// Checks a program for a target. `build_paths` are folders of the machine that built it, whose names it may not hold.
///
/// That a program is static is checked for Linux only: the systems of darwin and windows have no static programs.
pub fn check(program: &[u8], target: Target, build_paths: &[String]) -> Result<(), BinaryError> {
    let file = object::File::parse(program).map_err(|error| BinaryError::Unreadable(error.to_string()))?;
    let format = match target.os {
        "linux" => BinaryFormat::Elf,
        "darwin" => BinaryFormat::MachO,
        _ => BinaryFormat::Pe,
    };
    let architecture = if target.arch == "amd64" { Architecture::X86_64 } else { Architecture::Aarch64 };
    if file.format() != format || file.architecture() != architecture {
        let found = format!("{:?} {:?}", file.format(), file.architecture());
        return Err(BinaryError::Target { found, target });
    }
    if format == BinaryFormat::Elf {
        check_is_static(program)?;
    }
    if let Some(section) = file.sections().find(|section| is_debugging(section.name().unwrap_or_default())) {
        return Err(BinaryError::NotStripped(section.name().unwrap_or_default().to_owned()));
    }
    if format == BinaryFormat::Elf && file.symbols().next().is_some() {
        return Err(BinaryError::NotStripped("a symbol table".to_owned()));
    }
    if program.len() > SIZE_LIMIT {
        return Err(BinaryError::TooLarge(program.len()));
    }
    match build_paths.iter().find(|path| contains(program, path.as_bytes())) {
        Some(path) => Err(BinaryError::BuildPath(path.clone())),
        None => Ok(()),
    }
}

fn is_debugging(section: &str) -> bool {
    section.starts_with(".debug_") || section.starts_with("__debug_")
}

/// A static program names no loader (PT_INTERP) and no library (DT_NEEDED). It may have a dynamic section nevertheless:
/// a static program that can be loaded anywhere moves its own addresses with it.
fn check_is_static(program: &[u8]) -> Result<(), BinaryError> {
    let unreadable = |error: object::read::Error| BinaryError::Unreadable(error.to_string());
    let file = ElfFile64::<object::Endianness>::parse(program).map_err(unreadable)?;
    let endian = file.endian();
    let headers = file.elf_header().program_headers(endian, program).map_err(unreadable)?;
    for header in headers {
        if header.p_type(endian) == PT_INTERP {
            return Err(BinaryError::NotStatic("a loader".to_owned()));
        }
        if header.p_type(endian) == PT_DYNAMIC {
            let entries = header.dynamic(endian, program).map_err(unreadable)?.unwrap_or_default();
            let mut tags = entries.iter().map(|entry| entry.d_tag(endian)).take_while(|tag| *tag != DT_NULL);
            if tags.any(|tag| tag == DT_NEEDED) {
                return Err(BinaryError::NotStatic("a library".to_owned()));
            }
        }
    }
    Ok(())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use object::write::{Object, Symbol, SymbolSection};
    use object::{Endianness, SymbolFlags, SymbolKind, SymbolScope};

    use super::{Architecture, BinaryError, BinaryFormat, SIZE_LIMIT, Target, check, contains};
    use crate::platform::PUBLISHED;

    /// This test: a program that is neither static nor stripped, nor for another system.
    fn this_program() -> Vec<u8> {
        fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    fn here() -> Target {
        Target::of_triple(&format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)).unwrap()
    }

    #[test]
    fn program_of_the_test_is_not_fit() {
        assert_eq!(check(&this_program(), here(), &[]), Err(BinaryError::NotStatic("a loader".into())));
    }

    #[test]
    fn program_for_another_target_is_refused() {
        let program = this_program();
        for target in PUBLISHED.into_iter().filter(|target| *target != here()) {
            let error = check(&program, target, &[]).unwrap_err();
            assert!(matches!(&error, BinaryError::Target { .. }), "{target}: {error}");
        }
    }

    /// An ELF file of next to nothing, with or without a symbol.
    fn small(symbol: Option<&str>) -> Vec<u8> {
        let architecture = if here().arch == "amd64" { Architecture::X86_64 } else { Architecture::Aarch64 };
        let mut file = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
        if let Some(name) = symbol {
            file.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value: 0,
                size: 0,
                kind: SymbolKind::Text,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Undefined,
                flags: SymbolFlags::None,
            });
        }
        file.write().unwrap()
    }

    #[test]
    fn symbols_size_and_build_paths_are_found() {
        let linux = Target { os: "linux", ..here() };
        let path = "/home/me/src".to_owned();
        let with = |more: &[u8]| [small(None).as_slice(), more].concat();
        let table = [
            (small(None), None),
            (small(Some("main")), Some(BinaryError::NotStripped("a symbol table".into()))),
            (with(&vec![0; SIZE_LIMIT]), Some(BinaryError::TooLarge(small(None).len() + SIZE_LIMIT))),
            (with(b"panicked at /home/me/src/main.rs"), Some(BinaryError::BuildPath(path.clone()))),
            (with(b"panicked at /handover/src/main.rs"), None),
        ];
        for (program, error) in table {
            assert_eq!(check(&program, linux, std::slice::from_ref(&path)).err(), error);
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let error = check(b"#!/bin/sh", here(), &[]).unwrap_err();
        assert!(matches!(error, BinaryError::Unreadable(_)), "{error}");
    }

    #[test]
    fn parts_are_found_anywhere() {
        assert!(contains(b"at /home/me/src", b"/home/me") && contains(b"ab", b"ab") && contains(b"ab", b"b"));
        assert!(!contains(b"at /home/me/src", b"/home/you") && !contains(b"a", b"ab") && !contains(b"a", b""));
    }
}
