package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// File is one file of an artifact as its source made it.
type File struct {
	Name   string `json:"name"`             // base name, unique in the artifact
	Size   int64  `json:"size"`             // bytes
	SHA256 string `json:"sha256,omitempty"` // hex; empty until the first read
}

// Artifact is what a backup primitive made.
type Artifact struct {
	ID          string            `json:"id"`    // ArtifactID(run, step)
	Kind        string            `json:"kind"`  // "vm", "ct", …
	Asset       string            `json:"asset"` // row of the SOP's table
	Item        string            `json:"item"`  // which one of the row: a guest's name
	Run         string            `json:"run"`
	Step        string            `json:"step"`
	Source      string            `json:"source"`          // system and thing: "pve:qemu/100"
	Origin      Origin            `json:"origin,omitzero"` // where the files lie now, for its primitive only
	Created     time.Time         `json:"created"`         // the state that it holds is of this time
	Files       []File            `json:"files"`
	Bytes       int64             `json:"bytes"`
	Consistency string            `json:"consistency,omitempty"` // "agent freeze", "suspended", "stopped", "crash-consistent"
	Gaps        []Gap             `json:"gaps,omitempty"`
	Needs       []string          `json:"needs,omitempty"`    // earlier artifacts without which it cannot be restored
	Declared    map[string]string `json:"declared,omitempty"` // what the source said of the content: disk sizes…
	Devices     []string          `json:"devices,omitempty"`  // identities of those that the source lies on, as far as they are known
	Foreign     bool              `json:"foreign,omitempty"`  // another tool or a person made it: Run and Step are those that found it
	Lost        bool              `json:"lost,omitempty"`     // its own notes are all that tells of the run that made it: that ledger is lost
}

// Origin is where the files of an artifact lie now: in a folder of the spool, in a folder
// of a host, or as a volume of a system's storage; what does not apply is empty. The
// fields stand in the order of their names, as older records have them.
type Origin struct {
	Dir      string `json:"dir,omitempty"` // of Host
	Host     string `json:"host,omitempty"`
	Identity string `json:"identity,omitempty"` // of what was saved; it outlives a new name
	Name     string `json:"name,omitempty"`     // of what was saved, as the system has it
	Node     string `json:"node,omitempty"`
	Path     string `json:"path,omitempty"`  // of Volume on Node
	Spool    string `json:"spool,omitempty"` // folder of the spool
	Storage  string `json:"storage,omitempty"`
	System   string `json:"system,omitempty"`
	Type     string `json:"type,omitempty"`  // of what was saved
	Task     string `json:"upid,omitempty"`  // of the system that made it
	Number   string `json:"vmid,omitempty"`  // of what was saved
	Volume   string `json:"volid,omitempty"` // "local:backup/vzdump-…"
}

// ArtifactID names the artifact that a step makes.
func ArtifactID(run, step string) string { return shortHash("artifact", run, step) }

// CopyID names the copy of an artifact on a target.
func CopyID(artifact, target string) string { return shortHash("copy", artifact, target) }

func shortHash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Gap is something that an artifact does not hold though one might expect it to.
type Gap struct {
	Asset string `json:"asset,omitempty"`
	Item  string `json:"item,omitempty"`
	What  string `json:"what"` // "disk scsi1"
	Why   string `json:"why"`  // "backup=0"

	// Mend is what to type where nobody chose to leave it out: a right is missing.
	Mend string `json:"mend,omitempty"`
}

// StoredFile is one file of a copy as it lies on the target.
type StoredFile struct {
	Name    string `json:"name"`             // path below the copy's folder
	Of      string `json:"of"`               // name of the artifact's file
	Part    int    `json:"part,omitempty"`   // 1… when the file was cut into parts
	Size    int64  `json:"size"`             // bytes on the target
	SHA256  string `json:"sha256"`           // of the bytes on the target
	Native  string `json:"native,omitempty"` // digest that the store itself computed: "quickxor:…"
	Sealed  bool   `json:"sealed,omitempty"`
	Decoded bool   `json:"decoded,omitempty"` // what an archive held: the archive is made again of it, of the same content and other bytes
}

// Copy is one artifact on one target.
type Copy struct {
	ID         string       `json:"id"` // CopyID(artifact, target)
	Artifact   string       `json:"artifact"`
	Kind       string       `json:"kind"`
	Asset      string       `json:"asset"`
	Item       string       `json:"item"`
	Target     string       `json:"target"`
	Medium     string       `json:"medium"`
	Location   string       `json:"location"`
	Account    string       `json:"account,omitempty"` // user and host of a remote target
	Device     Device       `json:"device"`
	Ref        string       `json:"ref"` // opaque: where the target keeps it
	Files      []StoredFile `json:"files"`
	Bytes      int64        `json:"bytes"`
	Taken      time.Time    `json:"taken"`               // Artifact.Created
	Created    time.Time    `json:"created"`             // when the copy was complete
	SealedTo   []string     `json:"sealed_to,omitempty"` // fingerprints of the recipients
	Opened     bool         `json:"opened,omitempty"`    // the clear stream was fully parsed while it was sealed
	Offline    bool         `json:"offline,omitempty"`   // the target is meant to be taken away
	Offsite    bool         `json:"offsite,omitempty"`
	Immutable  bool         `json:"immutable,omitempty"`   // probed, not declared
	InPlace    bool         `json:"in_place,omitempty"`    // the source's own archive, counted where it lies
	OnSource   bool         `json:"on_source,omitempty"`   // it lies on a device of its source: they are lost together
	Foreign    bool         `json:"foreign,omitempty"`     // in place, and not runner's: somebody else's retention removes it
	Lost       bool         `json:"lost,omitempty"`        // in place, of a run whose ledger is lost
	WriteBytes int64        `json:"write_bytes,omitempty"` // bytes sent, for rates
	WriteNanos int64        `json:"write_nanos,omitempty"`
}

// Borrowed reports that runner may count the copy and may not remove it.
func (c Copy) Borrowed() bool { return c.Foreign || c.Lost }

// Decoded reports that the copy holds what archives held, and not their bytes: it comes
// back as archives of the same content, and is no source for another copy.
func (c Copy) Decoded() bool {
	return slices.ContainsFunc(c.Files, func(f StoredFile) bool { return f.Decoded })
}

// Levels of proof.
const (
	Stored   = 0 // the target acknowledged all bytes
	Read     = 1 // read back past any cache, SHA-256 equal
	Opened   = 2 // decrypted where sealed, and the whole structure parsed
	Restored = 3 // restored to a scratch place and compared with what the source declared
	Booted   = 4 // the restored thing runs
	Served   = 5 // an application probe passed
)

var levels = []string{"stored", "read", "opened", "restored", "booted", "served"}

// LevelName returns the word for a level of proof.
func LevelName(level int) string {
	if level < 0 || level >= len(levels) {
		return "none"
	}
	return levels[level]
}

// ParseLevel returns the level that a word means.
func ParseLevel(word string) (int, bool) {
	for i, l := range levels {
		if l == word {
			return i, true
		}
	}
	return 0, false
}

// Proof says that one copy reached one level.
type Proof struct {
	Copy     string    `json:"copy"`
	Artifact string    `json:"artifact"`
	Asset    string    `json:"asset"`
	Item     string    `json:"item"`
	Target   string    `json:"target"`
	Level    int       `json:"level"`
	At       time.Time `json:"at"`
	Run      string    `json:"run"`
	Step     string    `json:"step"`
	Bytes    int64     `json:"bytes,omitempty"` // read to prove it
	Nanos    int64     `json:"nanos,omitempty"` // time that the reading took
	Note     string    `json:"note,omitempty"`
	Ended    time.Time `json:"ended,omitzero"` // when the last byte was read, of a reading of several nights: At is its first
}

// Finished is when the reading ended.
func (p Proof) Finished() time.Time {
	if p.Ended.IsZero() {
		return p.At
	}
	return p.Ended
}

// ID names the proof: one per copy, level and step.
func (p Proof) ID() string {
	return shortHash("proof", p.Copy, LevelName(p.Level), p.Run, p.Step)
}

// Reading is how far a copy was read back whose reading takes more than one night. It is
// gone when the pass ends: its proof is as old as the first byte of the pass.
type Reading struct {
	Copy   string    `json:"copy"`
	Asset  string    `json:"asset"`
	Item   string    `json:"item"`
	Target string    `json:"target"`
	Since  time.Time `json:"since"` // when the pass began
	Next   int       `json:"next"`  // index of the first of Copy.Files that it has not read
	At     time.Time `json:"at"`
	Bytes  int64     `json:"bytes"` // read by the step
	Run    string    `json:"run"`
	Step   string    `json:"step"`
}

// Item is one thing that an asset is expected to hold, as an inventory saw it.
type Item struct {
	Asset string `json:"asset"`
	Name  string `json:"name"`
	ID    string `json:"id,omitempty"`    // as the system names it: "100"
	State string `json:"state,omitempty"` // as the system words it, or Hidden

	Source string `json:"source,omitempty"` // the system whose inventory it is in: the newest of a system says what left it
	Label  string `json:"label,omitempty"`  // what it is called now, where that is not Name
}

// Hidden is the state of an item that is there, and that its inventory may not see.
const Hidden = "hidden"

// Medium is a dated observation of a removable target.
type Medium struct {
	Target string    `json:"target"`
	State  string    `json:"state"` // "attached" or "detached"
	Device Device    `json:"device"`
	At     time.Time `json:"at"`
	Since  time.Time `json:"since,omitzero"` // the first time that it was seen so, one after another
}

// What happens to a medium by somebody's hand.
const (
	Prepared   = "prepared"    // made anew: what was on it is gone
	Ejected    = "ejected"     // flushed, unmounted, closed: it may be unplugged
	CheckedOut = "checked out" // it left with somebody
	CheckedIn  = "checked in"  // it is back, unplugged
)

// Custody is who did what with a medium, and who has it since. Its entries are the
// history; the newest says where the medium is.
type Custody struct {
	Target string    `json:"target"`
	Act    string    `json:"act"`
	To     string    `json:"to,omitempty"`    // the person, of CheckedOut
	Place  string    `json:"place,omitempty"` // where it is kept, of CheckedOut
	Device Device    `json:"device"`          // of Prepared and Ejected
	At     time.Time `json:"at"`
	By     Operator  `json:"by"`
}

// ID names the entry.
func (c Custody) ID() string {
	return shortHash("custody", c.Target, c.Act, c.At.UTC().Format(time.RFC3339Nano))
}

// KeyProof says that a recovery key was typed in and opened a copy that lies on a
// target. Nothing else shows that the key in the safe is the one that is needed.
type KeyProof struct {
	Recipient string    `json:"recipient"` // fingerprint
	Target    string    `json:"target"`
	Copy      string    `json:"copy"` // id of the copy that it opened
	At        time.Time `json:"at"`
	By        Operator  `json:"by,omitzero"`
	What      string    `json:"what"` // "canary", or "header" of a sealed file
}

// ID names the proof: of a key on a target the newest counts.
func (p KeyProof) ID() string { return shortHash("key", p.Recipient, p.Target) }

// Facts are what a step adds to the projections.
type Facts struct {
	Artifacts []Artifact `json:"artifacts,omitempty"`
	Copies    []Copy     `json:"copies,omitempty"`
	Proofs    []Proof    `json:"proofs,omitempty"`
	Readings  []Reading  `json:"readings,omitempty"`
	Removed   []string   `json:"removed,omitempty"` // ids of copies that are gone
	Damaged   []string   `json:"damaged,omitempty"` // ids of copies that failed a check: their proofs are void
	Expected  []Item     `json:"expected,omitempty"`
	Media     []Medium   `json:"media,omitempty"`
	Custody   []Custody  `json:"custody,omitempty"`
	Keys      []KeyProof `json:"keys,omitempty"`
	Probes    []Probe    `json:"probes,omitempty"`
	Findings  []Finding  `json:"findings,omitempty"` // promises not kept, that do not fail the call
}

// Add appends the facts of other.
func (f *Facts) Add(other Facts) {
	f.Artifacts = append(f.Artifacts, other.Artifacts...)
	f.Copies = append(f.Copies, other.Copies...)
	f.Proofs = append(f.Proofs, other.Proofs...)
	f.Readings = append(f.Readings, other.Readings...)
	f.Removed = append(f.Removed, other.Removed...)
	f.Damaged = append(f.Damaged, other.Damaged...)
	f.Expected = append(f.Expected, other.Expected...)
	f.Media = append(f.Media, other.Media...)
	f.Custody = append(f.Custody, other.Custody...)
	f.Keys = append(f.Keys, other.Keys...)
	f.Probes = append(f.Probes, other.Probes...)
	f.Findings = append(f.Findings, other.Findings...)
}
