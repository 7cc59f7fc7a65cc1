autocmd BufNewFile,BufRead *.policy setfiletype migratepolicy
