// Package rear is the kind of rescue images that Relax-and-Recover makes.
package rear

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Kind is a rescue image.
func Kind() kind.Kind {
	return kind.Kind{Name: "rear", Title: "a rescue image of a host", Open: func() target.Checker { return rearChecker{&rear.Inspector{}} },
		Recover: recoverRear, Commands: rearCommands}
}

// rearChecker refuses images that cannot recover the host, and those that erase
// what must stay.
type rearChecker struct{ *rear.Inspector }

func (c rearChecker) File(ctx context.Context, name string, r io.Reader) error {
	return rearError(c.Inspector.File(ctx, name, r))
}

func (c rearChecker) End() error { return rearError(c.Inspector.End()) }

func rearError(err error) error {
	var held *rear.HoldsError
	var image *rear.ImageError
	switch {
	case errors.As(err, &held) && held.Copies:
		return &failure.Error{Code: rear.CodeHoldsCopies, Doing: "open the rescue image", Said: held.What, Hint: held.Hint, Cause: err}
	case errors.As(err, &held):
		return &failure.Error{Code: rear.CodeHoldsGuests, Doing: "open the rescue image", Said: held.What, Hint: held.Hint, Cause: err}
	case errors.As(err, &image):
		return &failure.Error{Code: target.CodeDamaged, Doing: "open the rescue image", Said: image.What, Cause: err}
	}
	return err
}

// recoverRear brings the files back, and writes an ISO to the medium that the
// operator names by its serial.
func recoverRear(ctx context.Context, j *kind.Job) error {
	image := ""
	for _, f := range j.Artifact.Files {
		path, err := j.Write(ctx, f.Name)
		if err != nil {
			return err
		}
		if strings.HasSuffix(f.Name, ".iso") {
			image = path
		}
	}
	if err := chain(j, ctx); err != nil {
		return err
	}
	if j.Options.Serial != "" {
		if image == "" {
			return errors.New("write the rescue image to a medium: it is one of a USB stick, and has no ISO; the files are in " + j.Into)
		}
		if err := writeMedium(ctx, j, image); err != nil {
			return err
		}
	}
	j.Say = append(j.Say, rearCommands(j.Artifact, kind.Quote(j.Into))...)
	return nil
}

// chain brings the archives back that a differential one builds on.
func chain(j *kind.Job, ctx context.Context) error {
	for _, need := range j.Artifact.Needs {
		found := false
		for _, o := range j.Others {
			if o.Artifact.ID != need {
				continue
			}
			found = true
			below := &kind.Job{Artifact: o.Artifact, Open: o.Open, Into: j.Into}
			for _, f := range o.Artifact.Files { // all are read, in their order: then opening costs nothing more
				if err := archive(below, ctx, f.Name); err != nil {
					return err
				}
			}
			if err := o.End(ctx); err != nil {
				return fmt.Errorf("the full archive that this one builds on (artifact %s): %w", need, err)
			}
			j.Paths = append(j.Paths, below.Paths...)
		}
		if !found {
			j.Skipped = append(j.Skipped, fmt.Sprintf("left out: the full archive that this one builds on (artifact %s) is not on this medium: "+
				"bring it from another copy", need))
		}
	}
	return nil
}

// archive writes an archive of a rescue image, and only reads its other files.
func archive(j *kind.Job, ctx context.Context, file string) error {
	if strings.Contains(file, ".tar") {
		_, err := j.Write(ctx, file)
		return err
	}
	r, err := j.Open(ctx, file)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

func rearCommands(a ledger.Artifact, dir string) (out []string) {
	if e := strings.Join(a.Erases(), ", "); e != "" {
		out = append(out, "# ATTENTION: a recovery with this image erases guests "+e+". They come back from their own copies.")
	}
	iso, archive := "", ""
	for _, f := range a.Files {
		switch {
		case strings.HasSuffix(f.Name, ".iso"):
			iso = dir + "/" + kind.Quote(f.Name)
		case strings.Contains(f.Name, ".tar"):
			archive = dir + "/" + kind.Quote(f.Name)
		}
	}
	if iso != "" {
		out = append(out, "lsblk -o NAME,SERIAL,SIZE,MODEL   # find the stick; it is erased",
			"dd if="+iso+" of=/dev/STICK bs=4M oflag=direct conv=fsync status=progress",
			"# start the machine from it, choose Recover, log in as root, then: rear recover")
	} else {
		out = append(out, "# "+dir+"/kernel and initrd.cgz are what the stick started; to make a new stick: rear -v format -- /dev/STICK, "+
			"then copy its rear/ folder back")
	}
	if archive != "" {
		out = append(out, "# the archive is beside the image: in the rescue system mount the medium that holds "+archive+
			" and set BACKUP_URL=file:///… in /etc/rear/local.conf")
	}
	if a.Declared["encrypted"] != "" {
		out = append(out, "# the archive is encrypted. Before rear recover: read -rs RUNNER_REAR_KEY; export RUNNER_REAR_KEY "+
			"BACKUP_PROG_CRYPT_KEY=env:RUNNER_REAR_KEY")
	}
	return append(out, "# for single files: tar -tzf ARCHIVE; of an encrypted one: openssl enc -d -aes-256-cbc -pbkdf2 -pass file:KEYFILE "+
		"-in ARCHIVE | tar -xz")
}

// writeMedium writes an image to the disk of that serial, and reads it back.
func writeMedium(ctx context.Context, j *kind.Job, image string) error {
	dev, size, err := mediumOf(j.Options.Root, j.Options.Serial)
	if err != nil {
		return err
	}
	if !j.Options.Erase {
		return fmt.Errorf("write the rescue image to %s (serial %s, %d GB): it would be erased, and nobody consented; the files are in %s", dev,
			j.Options.Serial, size/1e9, j.Into)
	}
	from, err := os.Open(image)
	if err != nil {
		return err
	}
	defer from.Close()
	st, err := from.Stat()
	if err != nil {
		return err
	}
	if st.Size() > size {
		return fmt.Errorf("write the rescue image to %s: it has %d bytes, the medium %d", dev, st.Size(), size)
	}
	path := filepath.Join(j.Options.Root, dev)
	to, err := os.OpenFile(path, os.O_RDWR|mediumFlags, 0)
	if err != nil {
		return fmt.Errorf("open the medium %s: %w", dev, err)
	}
	_, err = io.Copy(to, &stoppable{ctx, from})
	if err == nil {
		err = to.Sync()
	}
	if err == nil {
		err = forget(to)
	}
	if cerr := to.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = readBack(ctx, path, from, st.Size())
	}
	if err != nil {
		return fmt.Errorf("write the rescue image to %s: %w", dev, err)
	}
	j.Paths = append(j.Paths, dev)
	j.Say = append(j.Say, fmt.Sprintf("%s (serial %s) is a rescue medium now; what was written was read back", dev, j.Options.Serial))
	return nil
}

// stoppable ends reading with ctx.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

// readBack opens a medium anew and holds it against the image, past the kernel's
// cache where the medium allows it.
func readBack(ctx context.Context, medium string, image io.ReaderAt, size int64) error {
	back, err := openDirect(medium)
	if err != nil {
		return err
	}
	defer back.Close()
	return sameBytes(ctx, back, image, size)
}

// sameBytes reads both from their beginning.
func sameBytes(ctx context.Context, a, b io.ReaderAt, size int64) error {
	x, y := aligned(1<<20), make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(x)) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(int64(len(x)), size-at)
		// Whole buffers, as O_DIRECT wants them; a medium may end within the last one.
		if got, err := a.ReadAt(x, at); int64(got) < n {
			return fmt.Errorf("read back from byte %d on: %w", at, err)
		}
		if _, err := b.ReadAt(y[:n], at); err != nil {
			return err
		}
		if string(x[:n]) != string(y[:n]) {
			return fmt.Errorf("what was read back from byte %d on differs", at)
		}
	}
	return nil
}
