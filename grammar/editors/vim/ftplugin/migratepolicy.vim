" Migrate policy: comments, indentation, `:make` and `:PolicyFormat`.
if exists('b:did_ftplugin')
  finish
endif
let b:did_ftplugin = 1

setlocal comments=:# commentstring=#\ %s
setlocal expandtab shiftwidth=4 softtabstop=4
setlocal iskeyword+=-
setlocal makeprg=migrate\ policy\ check\ %:S
setlocal errorformat=%f:%l:%c:\ %trror:\ %m,%f:%l:%c:\ %tarning:\ %m,%-G%.%#
command! -buffer -bar PolicyFormat call s:Format()

let b:undo_ftplugin = 'setlocal comments< commentstring< expandtab< shiftwidth< softtabstop<'
      \ . ' iskeyword< makeprg< errorformat< | delcommand -buffer PolicyFormat'

if exists('*s:Format')
  finish
endif

" Lay the buffer out in the canonical form; where it has mistakes, say so and leave it.
function s:Format() abort
  let l:lines = systemlist('migrate policy fmt -', getline(1, '$'))
  if v:shell_error
    echohl ErrorMsg | echomsg get(l:lines, 0, 'migrate policy fmt failed') | echohl None
    return
  endif
  let l:view = winsaveview()
  call setline(1, l:lines)
  call deletebufline('%', len(l:lines) + 1, '$')
  call winrestview(l:view)
endfunction
