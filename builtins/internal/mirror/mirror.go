// Package mirror is the form of a sealed mirror: the blobs of a local repository, each sealed once
// by age, and lists that say which of them make a whole repository. It knows names and text; package
// target moves the bytes.
//
// # What lies there
//
//	mirror/blobs/<x>/<name>              one sealed blob; x is the name's first digit
//	mirror/states/<time>-<id>/           one state of the repository
//	    password.age                     its password, sealed
//	    index.age                        which sealed blob is which file of the repository, sealed
//	    SHA256SUMS                       the sealed blobs that it needs, in clear; written last
//	mirror/sums/<time>.txt               blobs that were sealed since, while no state has them yet
//
// 16 folders of blobs, and not 256: each costs a cloud store a request whenever a run looks what is there.
//
// # Names
//
// A blob's name is a keyed digest of its file's name in the repository: whoever sees the mirror cannot tell which
// blob is which, and whoever has the repository can tell which are there. The key comes
// from the repository's password, by PBKDF2 with as many rounds as the repository itself
// uses, and then HKDF: names and lists lie in clear, and must not make a password easier to guess
// than the repository does. With another password all names are others, and everything is sealed anew.
//
// # What is mirrored
//
// Packs (p, q), indexes (x, n), the format (kopia.repository, kopia.blobcfg, .shards), and whatever else a
// later kopia may add. Not: kopia.maintenance (when maintenance ran; it changes, and a reader needs it not), logs
// (_log), markers of writing sessions (s), drafts, and runner's own lease. Packs of data (p) are mirrored
// as copies on the mirror need them. The format can change under its name, so its digest is part of the keyed name; all else
// is written once and never changed.
//
// # Lists
//
// SHA256SUMS is what sha256sum -c reads, from the folder of the target; lines that begin with # are ours. It ends with
// a keyed digest of the rest: the host, which cannot open what it sealed, believes only lists that it
// wrote itself. A state without SHA256SUMS is not complete.
package mirror

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"strings"
)

// Folders and files of a mirror.
const (
	Folder       = "mirror"
	Blobs        = Folder + "/blobs"
	States       = Folder + "/states"
	Sums         = Folder + "/sums"
	ListFile     = "SHA256SUMS"
	IndexFile    = "index.age"
	PasswordFile = "password.age"

	// Digits are the folders of blobs.
	Digits = "0123456789abcdef"
)

const rounds = 600_000 // of PBKDF2: those of the repository

// Keys are what a password gives: one names blobs, the other signs lists.
type Keys struct{ names, lists []byte }

// KeysOf derives the keys: a tenth of a second of processor time.
func KeysOf(password []byte) (k Keys, err error) {
	slow, err := pbkdf2.Key(sha256.New, string(password), []byte("runner mirror 1"), rounds, sha256.Size)
	if err != nil {
		return k, err
	}
	if k.names, err = hkdf.Expand(sha256.New, slow, "names of blobs", sha256.Size); err != nil {
		return k, err
	}
	k.lists, err = hkdf.Expand(sha256.New, slow, "lists", sha256.Size)
	return k, err
}

// Name is where a blob lies on the mirror; digest is its SHA-256 where a file of that name can
// change (Changes), else "".
func (k Keys) Name(file, digest string) string {
	h := hmac.New(sha256.New, k.names)
	h.Write([]byte(file + "\x00" + digest))
	name := hex.EncodeToString(h.Sum(nil))
	return path.Join(Blobs, name[:1], name)
}

const shards = ".shards" // how the repository's folders are made of names

// Mirrored reports whether a file of the repository's folder belongs to its state.
func Mirrored(file string) bool {
	if file == shards {
		return true
	}
	id, blob := ID(file)
	return blob && validFile(file) && id != "kopia.maintenance" && !strings.HasPrefix(id, "_log") && !strings.HasPrefix(id, "s")
}

// Changes reports whether a file can get another content under its name.
func Changes(file string) bool { return file == shards || strings.HasPrefix(file, "kopia.") }

// ID is the name of a blob as the repository has it, of its file's.
func ID(file string) (id string, ok bool) {
	stem, ok := strings.CutSuffix(file, ".f")
	return strings.ReplaceAll(stem, "/", ""), ok
}

// Pack reports whether a file holds data, and neither names nor indexes.
func Pack(file string) bool { return strings.HasPrefix(file, "p") }

var (
	filePattern = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,8}$`)
	blobPattern = regexp.MustCompile(`^` + Blobs + `/[0-9a-f]/[0-9a-f]{64}$`)
	refPattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){2}$`)
)

// validFile accepts names that are safe below a folder, and in a shell.
func validFile(file string) bool {
	return len(file) <= 255 && filePattern.MatchString(file) && path.Clean(file) == file && !strings.HasPrefix(file, "..") &&
		!strings.HasPrefix(file, "-") && !strings.Contains(file, "/-")
}

// validBlob accepts what Name makes.
func validBlob(name string) bool {
	return blobPattern.MatchString(name) && path.Base(path.Dir(name)) == path.Base(name)[:1]
}
