package bundle

// Files of sealed secrets whose names are fixed; the index names the others.
const (
	IndexFile   = "index.json"
	ShareReadme = "share-README.txt" // beside shares: how to combine them without runner
)

// MaxSecret bounds one secret, in bytes.
const MaxSecret = 16 << 20
