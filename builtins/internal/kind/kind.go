// Package kind says what the kinds of artifacts are: how one is opened completely,
// and how it comes back from one copy alone. A kind is one package below this one and one
// line in package kinds; copying, sealing, proving, pruning and listing are the same for
// all.
//
// What is given here was written by whoever could write to a medium: checkers and
// ways back parse with bounds, and names stay below the folder that they are given.
package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// Kind is one kind of artifact.
type Kind struct {
	Name  string // ledger.Artifact.Kind
	Title string // for people: "a DNS zone"
	// Keep says that the newest artifact of each item stays in the spool, for the
	// next comparison: it is small and holds no secret.
	Keep bool
	// Batch says that the artifacts of an item are parts of one stream: none of them
	// stands for another.
	Batch bool
	// Keyed says that it opens with a key, even where its copy is not sealed.
	Keyed bool
	// Open makes what opens one artifact completely.
	Open func() target.Checker
	// Opens says that Recover parses as Open does, and refuses all that it refuses.
	Opens bool
	// Recover brings an artifact back below Job.Into; nil: its files are all there is.
	Recover func(ctx context.Context, j *Job) error
	// Commands are what to type to bring the clear files, which lie in Dir, back
	// with the vendor's own tools. Paths in dir are quoted already.
	Commands func(a ledger.Artifact, dir string) []string
	Dir      string // where the vendor's tools want the clear files; "" is anywhere
}

// Job is one artifact that comes back.
type Job struct {
	Artifact ledger.Artifact
	// Open reads a clear file; the error at its end says whether its bytes are those
	// that the copy's manifest names.
	Open    func(ctx context.Context, file string) (io.ReadCloser, error)
	Into    string // a folder of mode 0700 that was made for it
	Options Options
	// Others are the other copies of the same kind and item on the medium, oldest
	// first, for kinds that come back as a chain.
	Others []Other

	Paths   []string // what was made
	Skipped []string // what could not be made, with the reason
	Config  []string // configuration files
	Say     []string // lines for the operator: commands to type, differences
}

// Other is another copy of the same item.
type Other struct {
	Artifact ledger.Artifact
	Open     func(ctx context.Context, file string) (io.ReadCloser, error)
	// End says whether the copy opens. It is cheap where all files were read, in the
	// artifact's order.
	End func(ctx context.Context) error
}

// Options are what an operator asks of a way back.
type Options struct {
	Root       string         // prefix of local paths; "" on a real machine
	Identities []age.Identity // the recovery identities that were given
	Shares     []string       // text of custodians' shares
	Serial     string         // of the medium that a rescue image is written to
	Erase      bool           // the operator consents to erasing that medium
	Device     func(path string) (ledger.Device, error)
	LiveZone   string                                // file with the live zone, to compare with: JSON or BIND
	Netns      string                                // network namespace that a ruleset is loaded into
	Keyring    func(name string, value []byte) error // puts a secret into a new keyring; nil: files
}

// ErrExists says that something would have been written over.
var ErrExists = errors.New("is there already: it is not overwritten")

// Write writes one clear file below Into; it is there under its name only when its
// digest was right.
func (j *Job) Write(ctx context.Context, file string) (path string, err error) {
	path = filepath.Join(j.Into, Safe(filepath.Base(file)))
	r, err := j.Open(ctx, file)
	if err != nil {
		return path, err
	}
	defer r.Close()
	if err := WriteFile(path, r); err != nil {
		return path, err
	}
	j.Paths = append(j.Paths, path)
	return path, nil
}

// WriteFile writes a file of mode 0600 that is not there yet; it has its name only
// when everything was read and is durable.
func WriteFile(path string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder to restore into: %w", err)
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		if _, serr := os.Lstat(path); serr == nil {
			err = fmt.Errorf("it %w", ErrExists)
		} else if !errors.Is(serr, fs.ErrNotExist) {
			err = serr
		}
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		os.Remove(part)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// WriteScript writes commands that are too many for a screen into a file.
func (j *Job) WriteScript(name string, lines []string) error {
	path := j.Into + "/" + name
	if err := WriteFile(path, strings.NewReader(strings.Join(lines, "\n")+"\n")); err != nil {
		return err
	}
	j.Paths = append(j.Paths, path)
	j.Say = append(j.Say, fmt.Sprintf("%s holds the calls that bring this state back, in the order in which they have to be made: read it "+
		"before you run any", path))
	return nil
}

// ReadSmall reads so many bytes of a file at most.
func ReadSmall(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// Safe makes a name out of a manifest or an archive one that stays in its folder.
func Safe(name string) string {
	var b strings.Builder
	for _, c := range name {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c) {
			b.WriteRune(c)
		} else {
			b.WriteByte('_')
		}
	}
	if s := strings.TrimLeft(b.String(), "."); s != "" {
		return s
	}
	return "_"
}

// Quote makes a word of a shell out of any text.
func Quote(s string) string {
	if s != "" && strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-/", c))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
