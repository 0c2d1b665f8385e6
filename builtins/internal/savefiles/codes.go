package savefiles

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeNothing = failure.Code{Name: "E_FILES_NOTHING", Doc: "none of the paths is there, or nothing of them could be read"}
	CodeTar     = failure.Code{Name: "E_TAR", Doc: "tar did not make a whole archive"}
)
