//! Hands batches over in a folder: `<cursor>.json` or `.csv`, and `<cursor>.note` with the signature.

use std::path::PathBuf;
use std::{fs, io};

use super::{Adapter, Parcel, PushError, write_whole};

/// A folder that somebody else picks up from.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// Writes a file, unless it is there already with the same content.
    fn put(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Ok(there) if there == text.as_bytes() => Ok(()),
            Ok(_) => Err(io::Error::other(format!(
                "{name} is there already with another content"
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_whole(&path, text.as_bytes())
            }
            Err(error) => Err(error),
        }
    }
}

impl Adapter for Folder {
    fn to(&self) -> String {
        self.0.display().to_string()
    }

    fn deliver(&self, parcel: &Parcel) -> Result<String, PushError> {
        let name = format!("{}.{}", parcel.from, parcel.form);
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            // Whoever waits for the batch finds its signature there already.
            self.put(&format!("{}.note", parcel.from), &parcel.note)?;
            self.put(&name, &parcel.batch)
        };
        write().map_err(|error| PushError::Adapter {
            to: self.to(),
            message: error.to_string(),
        })?;
        Ok(name)
    }
}
