package target

import "context"

// Capabilities are what a store can do beyond store.Store.
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
	// Sized: Put wants to know the size; what has none is read ahead.
	Sized bool
	// Stages: sealing gets a goroutine of its own, since Put waits for a disk.
	Stages bool
	// Space returns free and total bytes, -1 where unknown.
	Space func(ctx context.Context) (free, total int64, err error)
	// Digest asks the store itself for a digest of a file, of a kind of its own
	// ("quickxor:…"), "" where it has none; nil: it cannot.
	Digest func(ctx context.Context, name string) (string, error)
	// Answers tries what opening did not: a repository is opened when it is first used. Nil: opening did it all.
	Answers func(ctx context.Context) error
	// Maintain gives back the space of what was deleted, and returns its bytes; nil: deleting does.
	Maintain func(ctx context.Context) (freed int64, err error)
	// Packs names the packs of a repository that hold the data of folders; layout chunks.
	Packs func(ctx context.Context, folders []string) ([]string, error)
	// Guard says whether the target is still the one that was opened.
	Guard func(ctx context.Context) error
	// Program lets a file be started; nil: the target has no such thing.
	Program func(ctx context.Context, name string) error
	Close   func() error
}
