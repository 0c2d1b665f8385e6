package target

import (
	"context"
	"encoding/hex"
	"errors"
	"path"

	"github.com/neosofia/runner/runtime/ledger"
)

// commit makes the copy visible: everything is written and the source was good.
func (j *job) commit(p *pass) error {
	m := j.manifest(p)
	b, err := encodeManifest(m)
	if err != nil {
		return &sourceError{err: err}
	}
	ctx := p.ctx
	j.notes = append(j.notes, j.t.outfit(ctx)...)
	if err := j.dropStale(ctx, m.Copy.Files); err != nil {
		return err
	}
	if err := j.t.putSmall(ctx, path.Join(j.parts, sumsFile), sums(m.Copy.Files)); err != nil {
		return err
	}
	if err := j.t.putSmall(ctx, path.Join(j.parts, readmeFile), j.guide(m)); err != nil {
		return err
	}
	if j.parts != j.final {
		if err := j.t.store.Rename(ctx, j.parts, j.final); err != nil {
			return err
		}
	}
	if err := j.t.putSmall(ctx, path.Join(j.final, manifestFile), b); err != nil {
		return err
	}
	j.copy = m.Copy
	j.tidy(ctx)
	return nil
}

// guide is the README of the copy.
func (j *job) guide(m Manifest) []byte {
	if len(m.Decoded) > 0 && len(m.Decoded) == len(m.Artifact.Files) {
		return decodedGuide(m, j.t.env.Decoder.Commands)
	}
	return guide(m, j.src.Commands)
}

// tidy removes what a transfer noted, now that its copy is complete: at once, or
// after a crash when the copy is found.
func (j *job) tidy(ctx context.Context) {
	if err := j.t.store.Delete(ctx, path.Join(j.final, progressFile)); err != nil && !j.t.spec.Immutable {
		j.notes = append(j.notes, "a note of the transfer was left beside the copy: "+err.Error())
	}
}

// dropStale deletes what transfers with other parts or seals left in the folder.
func (j *job) dropStale(ctx context.Context, files []ledger.StoredFile) error {
	if j.t.spec.Immutable {
		return nil
	}
	keep := map[string]bool{progressFile: true}
	for _, f := range files {
		keep[f.Name] = true
	}
	infos, err := j.t.store.List(ctx, j.parts)
	for _, info := range infos {
		if !keep[info.Name] {
			err = errors.Join(err, j.t.store.Delete(ctx, path.Join(j.parts, info.Name)))
		}
	}
	return err
}

func (j *job) manifest(p *pass) Manifest {
	c := j.newCopy()
	c.Ref, c.Files, c.SealedTo = j.final, j.files, j.t.prints
	for _, f := range c.Files {
		c.Bytes += f.Size
	}
	c.Opened = p.opened && len(j.t.seals) > 0
	c.WriteBytes, c.WriteNanos = j.sent, int64(c.Created.Sub(j.began))
	m := Manifest{Version: manifestVersion, Artifact: j.src.Artifact, Copy: c, Fields: j.src.Manifest, Decoded: j.decoded}
	m.Tree = Tree{Size: j.src.Head.Size, Root: hex.EncodeToString(j.src.Head.Root[:])}
	m.Artifact.Files = make([]ledger.File, len(j.src.Artifact.Files))
	m.Artifact.Bytes = 0
	for i, f := range j.src.Artifact.Files {
		m.Artifact.Files[i] = ledger.File{Name: f.Name, Size: p.sizes[f.Name], SHA256: p.clear[f.Name]}
		m.Artifact.Bytes += p.sizes[f.Name]
	}
	return m
}

func (j *job) newCopy() ledger.Copy {
	a, s := j.src.Artifact, j.t.spec
	return ledger.Copy{
		ID: j.id, Artifact: a.ID, Kind: a.Kind, Asset: a.Asset, Item: a.Item,
		Target: s.Name, Medium: s.Medium, Location: s.Location, Account: j.t.account, Device: j.t.device,
		Taken: a.Created, Created: j.t.env.Now().UTC(),
		Offline: s.Offline, Offsite: s.Offsite, Immutable: j.t.probed.Load(),
	}
}
