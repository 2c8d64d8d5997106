//! How Azure takes a large blob: blocks, which are nothing until a list of them is put, and never are otherwise.

use crate::sink_store::{Ask, Kept, Said, Step, Upload, refused, tagged};

impl Kept {
    /// The part that a block is. One that comes again under its id is the same.
    pub(crate) fn block(&mut self, ask: &Ask) -> Step {
        let id = ask.of("blockid").unwrap_or_default();
        if !self.uploads.contains_key(&ask.key) {
            self.begun += 1;
            self.uploads.insert(ask.key.clone(), Upload { key: ask.key.clone(), ..Upload::default() });
        }
        let ids = &mut self.uploads.get_mut(&ask.key).unwrap().ids;
        let place = ids.iter().position(|known| known == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        Step::Part(u32::try_from(place).unwrap() + 1)
    }

    pub(crate) fn take_block(&mut self, number: u32, ask: Ask) -> Said {
        match self.uploads.get_mut(&ask.key) {
            Some(upload) => {
                upload.parts.insert(number, ask.body);
                (201, String::new(), String::new())
            }
            None => refused(500, "InternalError"),
        }
    }

    /// The blob is made of the blocks that are listed; the others are dropped.
    pub(crate) fn commit_blocks(&mut self, ask: &Ask) -> Said {
        let list = String::from_utf8_lossy(&ask.body);
        // Equal signs of the ids are encoded in a query.
        let listed = list.split("<Uncommitted>").skip(1).map(|rest| rest.split('<').next().unwrap());
        let listed: Vec<String> = listed.map(|id| id.replace('=', "%3D")).collect();
        let Some(mut upload) = self.uploads.remove(&ask.key) else { return refused(400, "InvalidBlockList") };
        let mut blob = Upload { key: upload.key.clone(), ..Upload::default() };
        for (number, id) in (1..).zip(&listed) {
            let place = upload.ids.iter().position(|known| known == id);
            let block = place.and_then(|place| upload.parts.remove(&(u32::try_from(place).unwrap() + 1)));
            let Some(block) = block else { return refused(400, "InvalidBlockList") };
            blob.parts.insert(number, block);
        }
        self.complete(blob);
        tagged(201)
    }
}
