// Package store is the contract of a place that keeps named bytes: folders, servers, and
// what foreign engines reach. Package target puts copies into stores; package engine
// carries the same verbs to a process of its own.
package store

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
	// List returns what is directly in a folder, at most MaxEntries.
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

// MaxEntries bounds a folder: more than any honest target has.
const MaxEntries = 100_000
