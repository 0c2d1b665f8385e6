package target

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// job is the copying of one artifact to one target.
type job struct {
	t     *Target
	src   Source
	id    string // of the copy
	final string // folder of the copy
	parts string // folder while it is not complete

	there    *Manifest // a copy that is there already
	progress progress

	files   []ledger.StoredFile
	decoded []Decoded
	asItIs  map[string]bool // files that cannot be decoded
	sent    int64
	began   time.Time
	resumed int64

	settled   bool
	restarted bool
	err       error
	copy      ledger.Copy
	clear     map[string]string
	notes     []string
}

func newJob(t *Target, src Source) *job {
	j := &job{t: t, src: src, id: ledger.CopyID(src.Artifact.ID, t.spec.Name), final: folderOf(src.Artifact),
		asItIs: map[string]bool{}}
	j.parts = path.Join(partsFolder, j.id)
	if !t.drafts() {
		j.parts = j.final
	}
	return j
}

// settle ends the job with an error; without one it goes on, or is done.
func (j *job) settle(err error) {
	if err != nil {
		j.err, j.settled = err, true
	}
	if j.copy.ID != "" {
		j.settled = true
	}
}

// writes reports that the job needs the bytes of the source, not only their digests.
func (j *job) writes() bool { return j.there == nil && !j.t.InPlace() }

// again forgets what a pass did.
func (j *job) again() {
	j.files, j.decoded, j.sent, j.resumed = nil, nil, 0, 0
	j.began = j.t.env.Now()
	if j.restarted {
		j.progress.Files = map[string]finished{}
	}
}

// prepare finds out what is there already and whether there is space for the rest.
func (j *job) prepare(ctx context.Context) error {
	if j.t.InPlace() {
		return j.t.checkOrigin(j.src.Artifact)
	}
	if err := j.t.inWindow(); err != nil {
		return err
	}
	if j.t.caps.Guard != nil {
		if err := j.t.caps.Guard(ctx); err != nil {
			return err
		}
	}
	m, err := j.t.manifest(ctx, j.final)
	switch {
	case err == nil:
		return j.adopt(ctx, m)
	case !failure.Is(err, CodeNotFound):
		return err
	}
	have, err := j.findParts(ctx)
	if err != nil {
		return err
	}
	if err := j.loadProgress(ctx); err != nil {
		return err
	}
	return j.checkSpace(ctx, have)
}

// adopt takes a copy that is there. Where the artifact's digests are not known
// yet, the source is read to compare them.
func (j *job) adopt(ctx context.Context, m Manifest) error {
	fail := func(said string) error {
		e := damaged(j.t.spec.Name, "copy to "+j.final, "%s", said)
		e.Hint = "look at the manifest that is there; remove that copy if it is not wanted"
		return e
	}
	if m.Copy.ID != j.id {
		return fail("there is a copy of this artifact already, made for target " + strconv.Quote(m.Copy.Target))
	}
	if strings.Join(m.Copy.SealedTo, ",") != strings.Join(j.t.prints, ",") {
		return fail("there is a copy of this artifact already, sealed to others")
	}
	for _, f := range m.Copy.Files {
		info, err := j.t.store.Stat(ctx, path.Join(j.final, f.Name))
		if err != nil {
			return err
		}
		if !info.Regular || info.Size != f.Size {
			return damaged(j.t.spec.Name, "look up "+path.Join(j.final, f.Name), "it has %d bytes; its manifest says %d", info.Size, f.Size)
		}
	}
	j.there = &m
	j.tidy(ctx)
	known := map[string]string{}
	for _, f := range j.src.Artifact.Files {
		if f.SHA256 == "" {
			return nil
		}
		known[f.Name] = f.SHA256
	}
	return j.confirm(known)
}

// confirm accepts the copy that is there when it is of these bytes.
func (j *job) confirm(clear map[string]string) error {
	files := j.there.Artifact.Files
	same := len(files) == len(clear)
	for _, f := range files {
		same = same && clear[f.Name] == f.SHA256
	}
	if !same {
		return damaged(j.t.spec.Name, "copy to "+j.final, "there is a copy of this artifact already, of other bytes")
	}
	// What the medium says of its own device and place is not believed.
	c, now := j.there.Copy, j.newCopy()
	now.Ref, now.Files, now.Bytes, now.SealedTo, now.Opened = c.Ref, c.Files, c.Bytes, c.SealedTo, c.Opened
	now.Created, now.WriteBytes, now.WriteNanos = c.Created, c.WriteBytes, c.WriteNanos
	j.copy, j.clear, j.resumed = now, clear, c.Bytes
	j.settle(nil)
	return nil
}

// findParts returns the bytes that an earlier transfer left. A crash between the
// move to the final folder and the manifest is undone: then all is there. What a
// removal left in the final folder goes.
func (j *job) findParts(ctx context.Context) (have int64, err error) {
	if j.parts != j.final {
		if err := j.freeFinal(ctx); err != nil {
			return 0, err
		}
	}
	infos, err := j.t.store.List(ctx, j.parts)
	if failure.Is(err, CodeNotFound) {
		return 0, nil
	}
	for _, info := range infos {
		have += info.Size
	}
	return have, err
}

func (j *job) freeFinal(ctx context.Context) error {
	if _, err := j.t.store.Stat(ctx, j.final); failure.Is(err, CodeNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	_, err := j.t.store.Stat(ctx, j.parts)
	switch {
	case err == nil:
		return j.t.removeFolder(ctx, j.final)
	case failure.Is(err, CodeNotFound):
		return j.t.store.Rename(ctx, j.final, j.parts)
	}
	return err
}

// checkSpace refuses to begin what cannot be finished. The margin is for the
// file system's own needs and the small files.
func (j *job) checkSpace(ctx context.Context, have int64) error {
	free, _, err := j.t.Space(ctx)
	if err != nil || free < 0 {
		return err
	}
	var need int64
	for _, f := range j.src.Artifact.Files {
		need += j.storedSize(max(f.Size, 0))
	}
	margin := need/100 + 4<<20
	if missing := need + margin - have - free; missing > 0 {
		hint := "free space on the target, or shorten what it keeps"
		if j.t.place.Foreign {
			hint += "; what lies in its recycle bin, and versions of files, count, too"
		}
		return &failure.Error{Code: CodeFull, System: system(j.t.spec.Name), Doing: "copy to " + j.final,
			Said: fmt.Sprintf("%d bytes are needed, %d are free", need+margin-have, free),
			Hint: hint}
	}
	return nil
}

// storedSize returns the bytes that a file takes on the target, as one or in parts.
func (j *job) storedSize(n int64) int64 {
	if len(j.t.seals) == 0 {
		return n
	}
	per := j.t.clearPart()
	if per == 0 || n <= per {
		return j.t.sealedSize(n)
	}
	return n/per*j.t.sealedSize(per) + j.t.sealedSize(n%per)
}

// run does the job within a pass.
func (j *job) run(p *pass, f *feed) error {
	var err error
	if f != nil {
		err = j.blame(p, j.write(p, f))
	}
	if err == nil {
		err = p.verdict()
	}
	if _, bad := errorAs[*sourceError](err); bad && f != nil && failure.Is(err, CodeDamaged) {
		// What was sent of it is worth nothing, and takes space.
		if rerr := j.t.removeFolder(context.WithoutCancel(p.ctx), j.parts); rerr != nil {
			j.notes = append(j.notes, "what was sent of it is left there: "+rerr.Error())
		}
	}
	if err != nil {
		return err
	}
	j.clear = p.clear
	switch {
	case j.t.InPlace():
		j.inPlace(p)
		return nil
	case j.there != nil:
		return j.confirm(p.clear)
	}
	return j.blame(p, j.commit(p))
}

// blame returns the source's error where it ended the pass, not what followed from it.
func (j *job) blame(p *pass, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errorAs[*failure.Error](err); ok && strings.HasPrefix(e.System, named) {
		return err
	}
	if cause := context.Cause(p.ctx); cause != nil && !errors.Is(err, errRestart) {
		return cause
	}
	return err
}
