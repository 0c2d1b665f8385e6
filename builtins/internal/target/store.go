package target

import (
	"context"
	"io"
)

// Store is what a scheme does with named bytes. Names are slash-separated paths
// below the target's folder, made by the layout. Errors are *failure.Error, an error of
// the reader as it is, or ctx's.
type Store interface {
	// Put writes what r has from offset on, drops what follows, and makes it
	// durable. The offset is 0 where the store cannot append. Folders are made. size is the file's expected size, -1 unknown. It
	// returns the bytes taken from r; after an error those before a hole count.
	Put(ctx context.Context, name string, offset, size int64, r io.Reader) (int64, error)
	// Get reads length bytes from offset (-1: to the end), past any cache of this host.
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	Stat(ctx context.Context, name string) (Info, error)
	// List returns what is directly in a folder, at most maxEntries.
	List(ctx context.Context, dir string) ([]Info, error)
	// Rename moves a file over another, or a folder to a free name, in one step. Folders
	// are made. It is not called where the store cannot rename.
	Rename(ctx context.Context, from, to string) error
	// Delete removes a file or an empty folder. What is not there is no error.
	Delete(ctx context.Context, name string) error
}

// Info is one entry of a store.
type Info struct {
	Name    string // base name
	Size    int64  // bytes
	Dir     bool
	Regular bool
}

// maxEntries bounds a folder: more than any honest target has.
const maxEntries = 100_000

// Capabilities are what a store can do beyond Store.
type Capabilities struct {
	// Rename: what is there can move in one step. Where it cannot, files are written where
	// they stay, and a copy becomes visible by its manifest alone, which is written last.
	Rename bool
	// Append: Put takes an offset. Where it does not, a stored file is there whole or not
	// at all, and a transfer that broke off goes on at the part: set a part size.
	Append bool
	// Whole: a file is there whole or not at all, and bytes that were sent before cost little to send again.
	// There are no drafts of single files, and no notes of what is finished.
	Whole bool
	// Stages: sealing gets a goroutine of its own, since Put waits for a disk.
	Stages bool
	// Space returns free and total bytes, -1 where unknown.
	Space func(ctx context.Context) (free, total int64, err error)
	// Digest asks the target itself for the SHA-256 (hex) of a file; nil: it cannot.
	Digest func(ctx context.Context, name string) (string, error)
	// Maintain gives back the space of what was deleted, and returns its bytes; nil: deleting does.
	Maintain func(ctx context.Context) (freed int64, err error)
	// Guard says whether the target is still the one that was opened.
	Guard func(ctx context.Context) error
	// Program lets a file be started; nil: the target has no such thing.
	Program func(ctx context.Context, name string) error
	Close   func() error
}
