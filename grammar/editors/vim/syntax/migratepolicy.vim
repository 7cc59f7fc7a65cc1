" Migrate policy
if exists('b:current_syntax')
  finish
endif

" What a word consists of: everything but white space and the signs { } ; , # " = < >
syn iskeyword 33,36-43,45-58,63-122,124,126,128-255

syn keyword migratepolicySection monitor-policy
syn keyword migratepolicyStatement adopt delay expire ignore margin migrate notify resume score-interface score-server settle suspend
syn keyword migratepolicyStatement define nextgroup=migratepolicySet skipwhite skipempty
syn keyword migratepolicyInclude include
syn keyword migratepolicyConditional else not on
syn keyword migratepolicyConditional when until nextgroup=migratepolicyFact skipwhite skipempty
syn keyword migratepolicyConditional for
syn keyword migratepolicyKey any-port app l-port local-ip port proto remote-host remote-ip role session user
syn keyword migratepolicyModifier after always avoid current eager lazy never
syn keyword migratepolicyConstant client false no server tcp true udp yes

syn match migratepolicyFact "\a[[:alnum:]._-]*" contained
syn match migratepolicySet "\h[[:alnum:]_-]*" contained
syn match migratepolicySet "\$\h[[:alnum:]_-]*"
syn match migratepolicyGlob "\<[^[:space:]{};,#\"=<>$*?\[]*[*?\[][^[:space:]{};,#\"=<>]*"
syn match migratepolicyNumber "\<[+-]\=\d\+\>"
syn match migratepolicyNumber "\<\d\+\s*-\s*\d\+\>"
syn match migratepolicyNumber "\<[+-]\=\d\+\%(\.\d\+\)\=\%(ms\|s\|m\|h\|d\|%\|dbm\|[kmg]\=bit\|[kmgt]\=b\)\>"
syn match migratepolicyAddress "\<\d\{1,3}\%(\.\d\{1,3}\)\{3}\%(/\d\+\)\=\>"
syn match migratepolicyAddress "\<\x*:[[:xdigit:].]*:[[:xdigit:]:.]*\%(/\d\+\)\=\>"
syn match migratepolicyOperator "[<>]=\=\|!\=="
syn match migratepolicyComment "#.*$" contains=migratepolicyTodo,@Spell
syn keyword migratepolicyTodo contained FIXME NOTE TODO XXX
syn region migratepolicyString start=+"+ end=+"+ oneline

hi def link migratepolicySection Structure
hi def link migratepolicyStatement Statement
hi def link migratepolicyInclude Include
hi def link migratepolicyConditional Conditional
hi def link migratepolicyKey Type
hi def link migratepolicyModifier Special
hi def link migratepolicyConstant Constant
hi def link migratepolicyFact Function
hi def link migratepolicySet Identifier
hi def link migratepolicyGlob PreProc
hi def link migratepolicyNumber Number
hi def link migratepolicyAddress Constant
hi def link migratepolicyOperator Operator
hi def link migratepolicyComment Comment
hi def link migratepolicyTodo Todo
hi def link migratepolicyString String

let b:current_syntax = 'migratepolicy'
