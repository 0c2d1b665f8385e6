package rearhost

import (
	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime/failure"
)

// Codes are those of an image that was not made.
func Codes() []failure.Code {
	return []failure.Code{
		site.CodeNoAsset,
		rear.CodeMissing, rear.CodeOld, rear.CodeBusy, rear.CodeAsked, rear.CodeSpace, rear.CodeKilled, rear.CodeFailed, rear.CodeImage,
		rear.CodeChain, rear.CodeClear,
		rear.CodeStickAbsent, rear.CodeStickWrong, rear.CodeStickFull, rear.CodeStickPulled,
		rear.CodeHoldsCopies, rear.CodeHoldsGuests,
	}
}
