package target

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/ledger"
)

// Spec declares a target.
type Spec struct {
	Name      string
	URL       string // file:///mnt/usb, sftp://user@host[:port]/path (/~/path below the login's folder), pve://[system/]storage
	Medium    string
	Location  string
	Offline   bool // meant to be taken away
	Offsite   bool
	Immutable bool // nothing can be renamed or deleted: write in place

	// Layout is "" (folders of files) or LayoutChunks: copies lie in a deduplicating repository in the
	// folder, and archives of guests as what is in them.
	Layout string

	// Password of the repository: called when it is opened, zeroed after use; layout chunks.
	Password func(ctx context.Context) ([]byte, error)

	// MirrorOf names the target whose repository lies here as sealed blobs; layout chunks. Password is that one's.
	MirrorOf string

	Read bool // a repository of chunks is only read, beside whoever writes: it is opened without the lease

	SealedTo []string // age recipients, all age1… or all age1pq1…; none: plain

	UUID   string // demanded of the file system behind a file:// target
	Serial string // demanded of the disk behind a file:// target

	PartSize  int64 // bytes a stored file may have; 0: any
	Bandwidth int64 // bytes a second; 0: any
	Window    Hours // in which it is written; the zero value: any

	HostKey string                                    // authorized_keys form, one key a line; sftp
	Key     func(ctx context.Context) ([]byte, error) // private key (PEM); called at each dial, zeroed after use; sftp
	// Login is what a foreign engine logs in with (engine.Login, encoded); zeroed after use.
	// Keep stores one that the server changed, and returns when that is durable.
	Login func(ctx context.Context) ([]byte, error)
	Keep  func(login []byte) error
}

// Env is the world that targets are in. Now is required.
type Env struct {
	Root string // prefix of every local path; "" is the real machine
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Silence is how long a server may owe an answer; 0 is a minute.
	Silence time.Duration
	// Roots are certificates (PEM) that foreign engines accept in place of the system's;
	// with them, the engines reach their servers through Dial.
	Roots []byte
	// Device looks up the medium behind a directory (Root included); nil is SystemDevice.
	Device func(path string) (ledger.Device, error)
	// InPlace opens a volume that a pve:// target holds.
	InPlace func(ctx context.Context, volume string, offset int64) (io.ReadCloser, error)
	// Remove deletes a volume that a pve:// target holds; was reports that it was there.
	Remove func(ctx context.Context, volume string) (was bool, err error)
	// Chunks opens the repository in a folder, and makes it where there is none; layout chunks. Of its Capabilities,
	// those of the folder stand in for Space, Guard and Program. Nil: the engine of this program does.
	Chunks func(ctx context.Context, target, folder string) (store.Store, Capabilities, error)
	// Repositories are those that are open in this process; layout chunks.
	Repositories *Repositories
	// Mirrored opens the target that a mirror mirrors; nil: it is not here.
	Mirrored func(ctx context.Context) (*Target, error)
	// Scratch is a folder for pieces of a mirrored repository while copies come back from it; it is made. "": there is none.
	Scratch string
	// Decoder decodes archives for layout chunks; nil: they are kept as they are.
	Decoder Decoder
	// Binary is the static runner to leave on targets. An empty path with ok means
	// that it was left already.
	Binary func() (path string, ok bool)
	Now    func() time.Time
	// Progress is called about every MiB, from several goroutines; total is -1 when unknown.
	Progress func(target, file string, done, total int64)
}

// Source is an artifact that can be read.
type Source struct {
	// Artifact is what is copied. The size of a file may be -1: not known yet.
	Artifact ledger.Artifact
	// Open reads a file of the artifact from an offset. An error of Close counts.
	Open func(ctx context.Context, file string, offset int64) (io.ReadCloser, error)
	// Check makes what opens the clear streams of one artifact; nil: none.
	Check func() Checker
	// Commands are what to type to bring the clear files in a folder back with the
	// vendor's own tools; nil: the files are all there is.
	Commands func(a ledger.Artifact, dir string) []string
	// Manifest has extra fields of the manifest: policy, sop, version.
	Manifest map[string]string
	// Head is the ledger's as of the step's begin.
	Head ledger.Head
}

// Checker opens one artifact completely. An *failure.Error that it returns keeps its code;
// any other error means that what was read is damaged.
type Checker interface {
	// File parses the clear stream of a file, to its end. It is called once for
	// each file, in the artifact's order.
	File(ctx context.Context, name string, r io.Reader) error
	// End compares what the files say of each other.
	End() error
}

// ErrNotHere is wrapped by what a Checker says of files that may be sound and that this
// program cannot open: packed in a way that no library unpacks, say. Such a copy is
// read, and not opened; it is never called damaged.
var ErrNotHere = errors.New("it cannot be opened here")

// EachFile is a Checker for kinds whose files stand alone.
type EachFile func(ctx context.Context, name string, r io.Reader) error

// File implements Checker.
func (f EachFile) File(ctx context.Context, name string, r io.Reader) error { return f(ctx, name, r) }

// Each makes a checker of it for every artifact.
func (f EachFile) Each() Checker { return f }

// End implements Checker.
func (EachFile) End() error { return nil }

// Outcome is what became of one target of Copy.
type Outcome struct {
	Target  string
	Copy    ledger.Copy // valid without Err
	Device  ledger.Device
	Err     error
	Resumed int64             // stored bytes that were there already
	Clear   map[string]string // SHA-256 of each file of the artifact, once the source was read
	Notes   []string          // what the target lacks beside the copy, in words: "the program could not be left: …"
}

// Verified is what a check of a copy came to.
type Verified struct {
	Level int    // of proof, as in package ledger
	Bytes int64  // read from the target
	Nanos int64  // that it took
	Note  string // why the level is lower than asked for
}

// Target is an open target. Its methods may be called concurrently.
type Target struct {
	spec    Spec
	env     Env
	place   Place
	store   store.Store
	caps    Capabilities
	device  ledger.Device
	account string
	seals   []age.Recipient
	prints  []string // fingerprints of the recipients
	head    int64    // bytes of an age header for them
	limit   *limiter
	probed  atomic.Bool // ProbeImmutable said yes
	mirror  *mirrored   // nil: it is none
}

// InPlace reports that the target counts archives where they were made.
func (t *Target) InPlace() bool { return t.place.InPlace }

// Place is where the target is.
func (t *Target) Place() Place { return t.place }

// Name returns the target's name.
func (t *Target) Name() string { return t.spec.Name }

// Spec returns the declaration.
func (t *Target) Spec() Spec { return t.spec }

// Device returns the medium as it was when the target was opened.
func (t *Target) Device() ledger.Device { return t.device }

// Account returns user and host of a remote target.
func (t *Target) Account() string { return t.account }

// Close ends the connection, or lets go of the folder so that it can be unmounted.
func (t *Target) Close() error {
	if t.caps.Close == nil {
		return nil
	}
	return t.caps.Close()
}

// Maintain gives the space of removed copies back, where removing alone does not, and returns its bytes. On
// E_TARGET_BUSY somebody reads there: it can wait for the next run.
func (t *Target) Maintain(ctx context.Context) (freed int64, err error) {
	if t.caps.Maintain == nil {
		return 0, nil
	}
	if t.caps.Guard != nil {
		if err := t.caps.Guard(ctx); err != nil {
			return 0, err
		}
	}
	return t.caps.Maintain(ctx)
}

// Answers tries whether what lies there can be read with what the site gives.
func (t *Target) Answers(ctx context.Context) error {
	if t.caps.Answers == nil {
		return nil
	}
	return t.caps.Answers(ctx)
}

// Space returns free and total bytes; -1 where the target does not tell.
func (t *Target) Space(ctx context.Context) (free, total int64, err error) {
	if t.caps.Space == nil {
		return -1, -1, nil
	}
	return t.caps.Space(ctx)
}
