"""The words of the invented world: real places in their real regions, and names from many cultures.

A region's line: region | adjective | weight among the regions | its cities, the largest share of births first; a
city*4 has four times the share that its rank would give it.
A culture's line: the regions where most of its people are born | first names | last names (an underscore is a space).
"""

REGIONS = """
England | English | 150 | London*3.4, Birmingham, Liverpool, Manchester, Sheffield, Leeds, Bristol, Nottingham, Newcastle, Leicester, Norwich, Oxford, Cambridge, Portsmouth, Plymouth, Southampton, Bradford, Hull, Exeter, Ipswich, Coventry, Derby, Salford, Brighton, Carlisle, Gloucester, Lincoln, Blackpool, Luton, Stockport, Bolton, Wigan, Huddersfield, Rotherham, Doncaster, Canterbury
Scotland | Scottish | 44 | Glasgow, Edinburgh, Aberdeen, Dundee, Inverness, Paisley, Perth, Stirling, Kilmarnock, Dumfries, Falkirk
Wales | Welsh | 14 | Cardiff, Swansea, Newport, Wrexham, Llanelli, Aberystwyth
Northern Ireland | Irish | 15 | Belfast, Derry, Lisburn, Armagh, Omagh
Ireland | Irish | 27 | Dublin, Cork, Limerick, Galway, Waterford, Kilkenny, Sligo, Dundalk
New York | American | 40 | Brooklyn, Rochester, Buffalo, Syracuse, Albany, Utica, Yonkers, Troy
Massachusetts | American | 26 | Boston, Worcester, Springfield, Salem, Lowell, Quincy
Pennsylvania | American | 28 | Philadelphia, Pittsburgh, Erie, Scranton, Lancaster, Allentown
Illinois | American | 32 | Chicago, Peoria, Evanston, Rockford, Joliet
Ohio | American | 21 | Cleveland, Cincinnati, Columbus, Toledo, Dayton, Akron
California | American | 28 | Los Angeles, San Francisco, Oakland, Sacramento, San Diego, Pasadena, Fresno
Texas | American | 18 | Houston, Dallas, Austin, San Antonio, El Paso, Galveston
Michigan | American | 14 | Detroit, Lansing, Flint, Grand Rapids
Missouri | American | 10 | St. Louis, Kansas City, Independence
Maryland | American | 9 | Baltimore, Annapolis, Cumberland
Georgia | American | 9 | Atlanta, Savannah, Macon, Augusta
Louisiana | American | 8 | New Orleans, Shreveport, Lafayette
Minnesota | American | 8 | Minneapolis, Duluth, Saint Paul
Wisconsin | American | 7 | Milwaukee, Madison, Racine
Virginia | American | 9 | Richmond, Norfolk, Petersburg, Roanoke
Tennessee | American | 7 | Memphis, Nashville, Knoxville
Washington | American | 7 | Seattle, Tacoma, Spokane
Colorado | American | 5 | Denver, Pueblo, Boulder
Connecticut | American | 6 | Hartford, New Haven, Bridgeport
New Jersey | American | 7 | Newark, Trenton, Camden, Jersey City
Kentucky | American | 5 | Louisville, Lexington, Frankfort
Florida | American | 6 | Miami, Tampa, Jacksonville
Hawaii | American | 4 | Honolulu, Hilo
Ontario | Canadian | 26 | Toronto, Ottawa, Hamilton, Kingston, Windsor, Sudbury, Thunder Bay
Quebec | Canadian | 17 | Montreal, Sherbrooke, Trois-Rivières, Laval
British Columbia | Canadian | 9 | Vancouver, Victoria, Nanaimo
Manitoba | Canadian | 5 | Winnipeg, Brandon
Alberta | Canadian | 6 | Calgary, Edmonton, Lethbridge
Nova Scotia | Canadian | 4 | Halifax, Truro
Australia | Australian | 47 | Sydney, Melbourne, Brisbane, Adelaide, Hobart, Geelong, Ballarat, Fremantle, Bendigo, Launceston, Darwin
New Zealand | Antipodean | 14 | Auckland, Wellington, Christchurch, Dunedin, Invercargill
South Africa | South African | 13 | Johannesburg, Cape Town, Durban, Pretoria, Kimberley, Bloemfontein
France | French | 64 | Paris*4, Lyon, Marseille, Bordeaux, Toulouse, Lille, Strasbourg, Rouen, Nantes, Rennes, Dijon, Grenoble, Montpellier, Le Havre, Reims, Limoges, Besançon, Poitiers
Germany | German | 50 | Berlin, Hamburg, Munich, Cologne, Leipzig, Dresden, Frankfurt, Stuttgart, Hanover, Nuremberg, Bremen, Düsseldorf, Kiel, Mainz, Kassel, Göttingen, Würzburg, Augsburg, Lübeck, Münster
Austria | Austrian | 18 | Vienna, Graz, Salzburg, Linz, Innsbruck, Klagenfurt
Switzerland | Swiss | 16 | Zurich, Geneva, Basel, Bern, Lausanne, Lucerne, Winterthur
Italy | Italian | 50 | Rome, Naples, Milan, Turin, Venice, Florence, Genoa, Bologna, Palermo, Verona, Trieste, Bari, Catania, Parma, Padua, Siena, Bergamo, Lecce
Spain | Spanish | 24 | Madrid, Barcelona, Seville, Valencia, Bilbao, Zaragoza, Granada, Málaga, Cádiz, Salamanca, A Coruña
Portugal | Portuguese | 12 | Lisbon, Porto, Coimbra, Braga, Faro, Évora
Netherlands | Dutch | 24 | Amsterdam, Rotterdam, The Hague, Utrecht, Haarlem, Leiden, Groningen, Delft, Eindhoven, Nijmegen
Belgium | Belgian | 17 | Brussels, Antwerp, Ghent, Liège, Bruges, Leuven, Namur
Denmark | Danish | 14 | Copenhagen, Aarhus, Odense, Aalborg, Esbjerg
Norway | Norwegian | 18 | Oslo, Bergen, Trondheim, Stavanger, Tromsø, Drammen, Ålesund
Sweden | Swedish | 18 | Stockholm, Gothenburg, Malmö, Uppsala, Lund, Västerås, Linköping, Umeå
Iceland | Icelandic | 4 | Reykjavík, Akureyri
Finland | Finnish | 13 | Helsinki, Turku, Tampere, Kuopio, Oulu, Jyväskylä
Poland | Polish | 25 | Warsaw, Kraków, Łódź, Poznań, Gdańsk, Wrocław, Lublin, Katowice, Szczecin, Białystok
Czech Republic | Czech | 18 | Prague, Brno, Ostrava, Plzeň, Olomouc, Liberec, České Budějovice
Slovakia | Slovak | 7 | Bratislava, Košice, Žilina, Nitra
Hungary | Hungarian | 22 | Budapest, Debrecen, Szeged, Pécs, Győr, Miskolc
Romania | Romanian | 14 | Bucharest, Iași, Cluj, Timișoara, Constanța, Brașov
Bulgaria | Bulgarian | 7 | Sofia, Plovdiv, Varna, Burgas
Serbia | Serbian | 10 | Belgrade, Novi Sad, Niš, Subotica
Croatia | Croatian | 9 | Zagreb, Rijeka, Zadar, Osijek, Dubrovnik
Slovenia | Slovenian | 5 | Ljubljana, Maribor, Celje
Bosnia | Bosnian | 5 | Sarajevo, Mostar, Tuzla
Greece | Greek | 15 | Athens, Thessaloniki, Patras, Heraklion, Volos, Corfu
Cyprus | Cypriot | 4 | Nicosia, Limassol, Larnaca
Russia | Russian | 30 | Moscow, Saint Petersburg, Kazan, Samara, Novosibirsk, Saratov, Perm, Tomsk, Omsk, Voronezh
Ukraine | Ukrainian | 15 | Kyiv, Odessa, Kharkiv, Lviv, Poltava, Chernivtsi, Dnipro
Belarus | Belarusian | 5 | Minsk, Vitebsk, Grodno, Brest
Lithuania | Lithuanian | 6 | Vilnius, Kaunas, Klaipėda
Latvia | Latvian | 6 | Riga, Liepāja, Daugavpils
Estonia | Estonian | 5 | Tallinn, Tartu, Pärnu
Turkey | Turkish | 17 | Istanbul, Ankara, Izmir, Bursa, Konya, Adana, Trabzon
Armenia | Armenian | 4 | Yerevan, Gyumri
Azerbaijan | Azerbaijani | 4 | Baku, Ganja
Iran | Iranian | 14 | Tehran, Isfahan, Shiraz, Tabriz, Mashhad, Kerman
Iraq | Iraqi | 7 | Baghdad, Basra, Mosul
Syria | Syrian | 6 | Damascus, Aleppo, Homs
Lebanon | Lebanese | 8 | Beirut, Tripoli, Sidon, Zahlé
Israel | Israeli | 10 | Jerusalem, Haifa, Tel Aviv, Safed
Egypt | Egyptian | 11 | Cairo, Alexandria, Mansoura, Aswan, Port Said
Morocco | Moroccan | 7 | Casablanca, Rabat, Tangier, Fez, Marrakesh
Algeria | Algerian | 6 | Algiers, Oran, Annaba
Tunisia | Tunisian | 4 | Tunis, Sfax, Sousse
India | Indian | 32 | Mumbai, Kolkata, Delhi, Chennai, Hyderabad, Bangalore, Lucknow, Pune, Nagpur, Amritsar, Jaipur, Mysore
Pakistan | Pakistani | 12 | Lahore, Karachi, Peshawar, Rawalpindi, Multan
Bangladesh | Bangladeshi | 6 | Dhaka, Chittagong, Sylhet
Sri Lanka | Sri Lankan | 6 | Colombo, Kandy, Jaffna
China | Chinese | 24 | Beijing, Shanghai, Guangzhou, Wuhan, Tianjin, Nanjing, Chengdu, Hangzhou, Suzhou, Changsha, Harbin
Taiwan | Taiwanese | 6 | Taipei, Tainan, Kaohsiung
Japan | Japanese | 24 | Tokyo, Osaka, Kyoto, Nagoya, Kobe, Yokohama, Hiroshima, Sapporo, Nagasaki, Fukuoka
South Korea | South Korean | 10 | Seoul, Busan, Daegu, Incheon, Gwangju
Vietnam | Vietnamese | 7 | Hanoi, Huế, Haiphong, Da Nang
Philippines | Filipino | 7 | Manila, Cebu, Iloilo, Davao
Indonesia | Indonesian | 7 | Jakarta, Surabaya, Bandung, Yogyakarta, Medan
Malaysia | Malaysian | 6 | Penang, Ipoh, Malacca, Kuching
Nigeria | Nigerian | 9 | Lagos, Ibadan, Enugu, Kano, Abeokuta
Ghana | Ghanaian | 6 | Accra, Kumasi, Tamale
Kenya | Kenyan | 6 | Nairobi, Mombasa, Kisumu, Eldoret
Ethiopia | Ethiopian | 5 | Addis Ababa, Gondar, Harar
Senegal | Senegalese | 4 | Dakar, Saint-Louis, Thiès
Brazil | Brazilian | 16 | Rio de Janeiro, São Paulo, Salvador, Recife, Porto Alegre, Curitiba, Belém, Fortaleza
Argentina | Argentine | 14 | Buenos Aires, Rosario, Córdoba, La Plata, Mendoza, Tucumán
Mexico | Mexican | 14 | Mexico City, Guadalajara, Monterrey, Puebla, Veracruz, Mérida
Chile | Chilean | 7 | Santiago, Valparaíso, Concepción, Temuco
Colombia | Colombian | 6 | Bogotá, Medellín, Cali, Barranquilla
Peru | Peruvian | 6 | Lima, Arequipa, Cusco, Trujillo
Uruguay | Uruguayan | 5 | Montevideo, Salto, Paysandú
Venezuela | Venezuelan | 5 | Caracas, Maracaibo, Barquisimeto
Cuba | Cuban | 6 | Havana, Santiago de Cuba, Camagüey, Matanzas
Jamaica | Jamaican | 4 | Spanish Town, Montego Bay, Mandeville
"""

CULTURES = """
England, Scotland, Wales, Northern Ireland, Ireland, New York, Massachusetts, Pennsylvania, Illinois, Ohio, California, Texas, Michigan, Missouri, Maryland, Georgia, Louisiana, Minnesota, Wisconsin, Virginia, Tennessee, Washington, Colorado, Connecticut, New Jersey, Kentucky, Florida, Ontario, British Columbia, Manitoba, Alberta, Nova Scotia, Australia, New Zealand, South Africa, Jamaica | Alan Albert Alice Amelia Andrew Ann Arthur Barbara Benjamin Bernard Brian Caroline Charles Charlotte Christopher Clara Daniel David Deborah Donald Dorothy Douglas Edith Edmund Edward Eleanor Elizabeth Ellen Emily Ernest Ethan Evelyn Florence Frances Francis Frederick George Gerald Gilbert Gordon Grace Graham Hannah Harold Harriet Helen Henry Herbert Hugh Isaac Jack James Jane Jason Jennifer Joan John Joseph Joshua Julia Karen Katherine Keith Kenneth Laura Leonard Lewis Louise Lucy Malcolm Margaret Martha Martin Mary Matthew Michael Mildred Nathaniel Neil Oliver Patricia Patrick Percy Peter Philip Rachel Ralph Raymond Rebecca Richard Robert Roger Ronald Rosemary Ruth Samuel Sarah Simon Stanley Stephen Susan Sylvia Theodore Thomas Timothy Vera Victoria Vincent Walter William Winifred | Abernethy Aldridge Allenby Appleton Armitage Ashdown Atwood Babcock Bagshaw Bainbridge Barlow Barraclough Beasley Beckwith Bellamy Bickford Blakemore Blythe Bosworth Braddock Bradshaw Brannigan Brigham Brockway Broughton Buckley Burdock Cadwell Calloway Cardew Carmichael Cartwright Chadwick Chisholm Claybourne Clifton Coldwell Colquhoun Copley Corrigan Cotterill Crabtree Crawshaw Crosby Cullen Dalrymple Danforth Darnell Delaney Dempsey Denholm Dunmore Eastwood Eccles Edgerton Ellsworth Fairbairn Fairfax Farnham Fenwick Ferris Finnegan Fitzwilliam Flanagan Fotheringham Galbraith Garside Gilchrist Glover Goodwin Greenhalgh Gresham Grimshaw Hadley Halloran Hargreaves Haverford Hawthorne Henshaw Heywood Holbrook Hollis Huxtable Ingersoll Jardine Jessop Kavanagh Kendrick Kilbride Kirkwood Lachlan Langdon Larkin Latimer Lockhart Loxley MacAllister MacBride MacInnes Maddox Mallory Marchbanks McAvoy McCreary McNulty Merriweather Middleton Milburn Mulligan Nettleton Northcote O'Dowd O'Hanlon O'Rourke Oakley Ogilvie Osgood Pemberton Pendleton Penrose Pickering Prescott Quigley Quinlan Radcliffe Ramsbottom Redfern Rutherford Satterfield Sedgwick Shackleton Sheffield Sinclair Somerville Stanhope Stubbs Sutcliffe Tattersall Thackeray Thistlewood Throckmorton Tolliver Tremaine Trevelyan Trowbridge Twisleton Underhill Vickers Wadsworth Wainwright Wakefield Warburton Weatherby Wetherell Whitcombe Whitlock Willoughby Winthrop Wolstenholme Woodruff Wycliffe Yardley Yarwood
France, Belgium, Switzerland, Quebec, Algeria, Senegal | Adèle Alain André Antoine Aurélie Benoît Camille Céline Claude Édouard Élise Étienne François Geneviève Gérard Hélène Henri Jacques Jean-Luc Jeanne Lucien Madeleine Marcel Mathilde Odette Olivier Pascal Philippe Renée Thérèse Yvonne | Aubertin Beauchêne Bellerose Bergeron Blanchet Boisvert Bonnefoy Bouchard Carpentier Chauvin Delacroix Desrosiers Dubreuil Fontenay Gauthier Girardin Lachance Lambert Laurier Lefèvre Marchand Mercier Montclair Moreau Pelletier Renaud Rousselle Saint-Germain Thibault Vaillancourt Vasseur
Germany, Austria, Switzerland | Anneliese August Bernhard Bettina Dieter Elfriede Emil Ernst Franz Friedrich Gisela Günther Hannelore Heinrich Hildegard Ingrid Johann Jürgen Karl Käthe Konrad Liselotte Ludwig Matthias Otto Renate Rudolf Sieglinde Ulrich Ursula Wilhelm Wolfgang | Ackermann Altdorfer Baumgartner Birnbaum Brückner Dörfler Eberhardt Eichhorn Falkenhagen Fröhlich Grünwald Haberland Heidenreich Hirschfeld Kästner Kirchhoff Kleinschmidt Lindemann Löwenthal Mühlbauer Oberländer Pfeiffer Rosenkranz Schäfer Schönberg Steinbrecher Tannhauser Uhlenhorst Vogelsang Weißkopf Wiesner Zimmerli
Italy | Alessandro Antonella Beatrice Bruno Caterina Chiara Cosimo Domenico Elena Emilio Fabrizio Federica Giacomo Gianluca Ginevra Giulia Ippolito Lorenzo Lucia Marcello Nicolò Ottavia Paolo Pietro Raffaella Rosalba Salvatore Silvana Tommaso Vittorio | Abbruzzese Baldacci Barbieri Bellomo Bonaventura Cacciatore Calabrese Castellani Colombari D'Angelo De_Benedetti Di_Stefano Fabbri Ferrante Gambardella Guarnieri Lombardi Malatesta Mancuso Montefiore Palmieri Pellegrini Quaranta Rinaldi Santangelo Scarpelli Tagliaferri Trevisan Valentini Zanetti
Spain, Argentina, Mexico, Chile, Colombia, Peru, Uruguay, Venezuela, Cuba | Adriana Agustín Alejandra Álvaro Begoña Carlos Consuelo Cristóbal Diego Dolores Emiliano Esperanza Esteban Fernando Gonzalo Graciela Ignacio Inés Joaquín Jorge Leticia Lourdes Manuel Mercedes Nicolás Pilar Rafael Ramón Rocío Rodrigo Soledad Tomás Ximena | Aguirre Altamirano Arriaga Bermúdez Caballero Cárdenas Castañeda Cifuentes Domínguez Echeverría Escobar Figueroa Galíndez Garmendia Guzmán Ibáñez Jaramillo Landaburu Maldonado Montoya Muñoz Navarrete Olivares Orozco Peñaloza Quintero Riquelme Saavedra Sandoval Urquiza Villalobos Zamorano
Portugal, Brazil | Afonso Ana_Luísa Bento Catarina Duarte Eduarda Fernão Gonçalo Helena Henrique Isabel Joana João Leonor Lourenço Luís Margarida Matilde Nuno Pedro Rui Simão Teresa Vasco | Albuquerque Almeida Azevedo Barroso Brandão Cavalcanti Coutinho Esteves Fagundes Figueiredo Fonseca Gouveia Guimarães Lacerda Magalhães Mascarenhas Mendonça Nogueira Pacheco Queirós Sampaio Saraiva Teixeira Vasconcelos
Netherlands, Belgium, South Africa | Adriaan Anneke Bastiaan Cornelis Dirk Femke Floris Geertje Gerrit Hanneke Hendrik Jacoba Jeroen Joost Katrijn Lieke Maarten Marijke Pieter Rutger Saskia Sjoerd Willem Wouter | Beekman Boersma Brouwer De_Haan De_Wit Dijkstra Hoekstra Huizinga Kloosterman Koster Kuiper Mulder Noordhoek Oosterhuis Postma Roelofs Schuurman Sluiter Ten_Boom Terpstra Van_Beveren Van_der_Velde Van_Houten Veenstra Verhoeven Vermeulen Wiersma Zonneveld
Norway, Sweden, Denmark, Iceland | Agnethe Anders Astrid Bjørn Britta Dagny Einar Elin Erik Frida Gunnar Gustaf Håkon Halldór Henrik Inger Jens Karin Kjell Lars Liv Magnus Maja Nils Ólafur Ragnhild Rasmus Sigrid Solveig Søren Torbjörn Ulrika | Aasen Ahlgren Bergqvist Bjerregaard Björnsson Bråthen Dahlström Eklund Engström Fossheim Gjerde Guðmundsson Hagerup Holmgaard Jakobsen Kjeldsen Kvist Lindqvist Lundgaard Mørk Nordahl Nyström Ødegaard Österberg Rosenkvist Sandvik Skovgaard Söderlund Thorsen Vestergaard Wahlberg Ytterdal
Finland, Estonia | Aino Antti Eero Eija Heikki Helvi Ilmari Jaakko Juhani Kaarina Kalle Leena Maarit Mikko Outi Pekka Raili Risto Sirkka Tapio Toomas Tuulikki Veikko Väinö | Aaltonen Halonen Heikkilä Hietala Järvinen Kallio Karjalainen Kivimäki Korhola Laaksonen Lehtinen Mäkelä Niemelä Nurmi Pääkkönen Rautio Salmela Saarinen Tammik Toivonen Uusitalo Vainio Virtala Ylönen
Poland, Ukraine, Belarus | Agnieszka Bogdan Bronisław Czesława Danuta Elżbieta Grzegorz Halina Ignacy Jadwiga Jerzy Kazimierz Krystyna Leszek Małgorzata Mieczysław Oleksandr Oksana Roksolana Stanisław Tadeusz Taras Wanda Wiesław Wojciech Zbigniew Zofia | Baranowski Bielecki Chmielnicki Czartoryski Dobrowolski Gajewski Górecki Hryhorenko Jabłoński Karpenko Kossakowski Koval Krawczyk Leszczyński Łukasik Makarenko Niedźwiecki Orłowski Ostrowski Piątek Radziejowski Shevchuk Sobolewski Szczepański Tkachenko Wiśniowiecki Zaleski Żeromski
Czech Republic, Slovakia, Slovenia | Bohumil Božena Dalibor Dušan Eliška František Hedvika Jaroslav Jiří Jozef Květa Ladislav Ľubica Lubomír Ludmila Milada Miloš Miroslav Otakar Růžena Tereza Vlasta Vojtěch Zdeněk | Bartoš Beneš Černohorský Doležal Dvorský Hájek Havlíček Hruška Janáčková Kovář Krejčí Kučera Macháček Mlakar Navrátil Nezval Pospíšil Procházka Říha Sedláček Šimek Štěpánek Tichý Vančura Vrána Zelenka Žižka
Hungary | Ágnes Ákos Aranka Attila Balázs Béla Erzsébet Ferenc Gábor Gizella Gyula Ildikó Imre István Katalin Kálmán László Magda Márton Miklós Orsolya Piroska Sándor Zoltán | Almássy Balogh Bánffy Bíró Csányi Dombi Erdélyi Farkas Fehérváry Gárdonyi Halmos Horváth Jókai Kemény Kőszegi Lakatos Mészáros Némethy Pálffy Rónai Szabadi Szepesi Török Vadász
Romania, Bulgaria | Adela Alexandru Anca Boyan Constantin Corina Desislava Dragoș Elisaveta Gheorghe Ileana Ioana Ivaylo Liviu Mihai Mircea Nikolay Petre Rada Ruxandra Ștefan Traian Tsvetan Viorica | Antonescu Bălan Bogdanov Brătescu Călinescu Dimitrescu Dragomirov Eminovici Florescu Ghica Hristov Ionescu Kostov Lupescu Manolescu Munteanu Negruzzi Petkov Rădulescu Săvulescu Stoyanov Țurcanu Vasilescu Zlatarov
Serbia, Croatia, Bosnia | Aleksandar Amila Bojan Branka Damir Dragana Emir Goran Ivana Jadranka Jelena Ljubica Mirjana Nebojša Nikola Radmila Slobodan Snežana Stjepan Tihomir Vesna Vuk Željka Zoran | Babić Begović Čolić Dimitrijević Đurić Filipović Grgić Hadžić Ilić Jakšić Karadžić Kovačević Lazarević Marušić Milošev Nenadović Obradović Perišić Radović Stojković Šarić Tadić Vuković Živković
Greece, Cyprus | Alexandros Anastasia Andreas Athanasios Christos Despina Dimitris Eleni Evangelia Georgios Ioanna Kalliope Katerina Konstantinos Marios Nikos Panagiotis Sofia Spyros Stavros Theodora Vasiliki Yannis | Alexiou Anagnostou Angelopoulos Christodoulou Daskalakis Economou Fotiadis Georgiadis Hatzis Ioannidis Kalogeropoulos Karamanos Kyriakou Lambrakis Mavros Nikolaidis Papadakis Papazoglou Raptis Samaras Stephanides Tsakiris Vlachos Zachariadis
Russia, Ukraine, Belarus, Lithuania, Latvia | Aleksei Anatoly Boris Darya Dmitri Ekaterina Fyodor Galina Gleb Grigory Irina Ivan Jānis Kirill Ksenia Larisa Leonid Lyudmila Mikhail Nadezhda Natalya Oleg Pavel Raisa Semyon Svetlana Tatyana Valentin Vytautas Yuri Zinaida | Abramovsky Afanasyev Belinsky Bogolyubov Chernyshev Davydov Fedotov Glazunov Golovin Ilyin Kalnins Kazlauskas Khlebnikov Kornilov Kuznetsov Lebedev Malevsky Nesterov Obolensky Orlovsky Petrauskas Platonov Rostovsky Rumyantsev Sakharovsky Shcherbakov Sokolovsky Tarasov Ushakov Vorontsov Yermakov Zhukovsky
Turkey, Azerbaijan | Ahmet Asuman Ayşe Burak Cemal Defne Elif Emre Fatma Gülşen Hakan Halide İbrahim Kemal Leyla Mehmet Nazlı Orhan Rüstem Selma Tarık Yusuf Zeynep | Aksoy Altıntaş Aslanov Bayraktar Çelik Demirtaş Doğan Erdem Gökçe Güneş Hacıyev İnönlü Kaplan Karaca Kılıç Mammadli Özkan Öztürk Polat Şahin Tekin Uçar Yıldırım Yılmazer
Egypt, Lebanon, Syria, Iraq, Morocco, Algeria, Tunisia | Abdallah Adnan Amina Anwar Aziza Bassam Dalia Fadwa Farid Fatima Ghassan Habib Hisham Huda Idris Jamal Karima Khalil Layla Mahmoud Mariam Mounir Nabil Nadia Omar Rashid Salma Samir Tariq Widad Yasmin Zaki | Abboud Al-Amin Al-Bitar Al-Hakimi Al-Jabiri Al-Najjar Atallah Barakat Belkacem Ben_Salah Boutaleb Chidiac El-Fassi El-Masri El-Shazly Ghanem Haddad Hamdan Idrissi Kanaan Khoury Mansour Mokrani Nasrallah Othman Qasim Rahal Sabbagh Shaheen Tawfik Zaidan Zeitoun
Iran, Armenia | Anahit Arash Aram Bahram Bijan Davit Farhad Farzaneh Golnar Hovhannes Houshang Jahangir Kaveh Mahin Manijeh Mehrdad Narges Nasrin Parviz Roya Shahrzad Shirin Siranush Touraj | Abrahamyan Afshar Ardalan Bakhtiar Daneshvar Dashti Farrokhzadeh Ghorbani Grigoryan Hakobyan Jahanbani Kermani Khachatryan Manoukian Moradi Nouri Pahlavan Rostami Sahakyan Shirazi Tabrizi Tehrani Vaziri Zandi
Israel | Amos Aviva Boaz Dalia Dvora Eitan Eliezer Gideon Hadassah Ilana Menachem Miriam Naomi Noam Ofra Reuven Rivka Shlomit Shmuel Tamar Uri Yael Yitzhak Ziva | Abramson Ashkenazi Avnery Bar-Lev Ben-Ami Blumenkranz Dagan Eshkoli Feinstein Galili Harel Kaplansky Lavi Mizrahi Nahmani Ofek Peleg Rabinovich Sapir Shapira Tzur Weizmann Yadin Zohar
India, Sri Lanka, Bangladesh, Pakistan | Aditi Ajay Amrita Anand Arun Asha Bilal Chandrika Deepak Devika Farhana Gayatri Gopal Harish Indira Jyoti Kamala Lakshmi Mahesh Meera Mohan Nasreen Nirmala Padma Pradeep Rajesh Rashida Ravi Rukhsana Sanjay Shanta Sunil Tahir Usha Vijay Zubair | Acharya Ahluwalia Aiyar Bandaranayake Banerji Bhattacharya Chattopadhyay Chaudhry Deshpande Dhillon Fernandopulle Ghoshal Gokhale Hashmi Iyengar Jayasuriya Joshi Kulkarni Lahiri Malhotra Menon Mirza Mukherji Naidu Nambiar Pillai Qureshi Raghavan Rahmani Sengupta Shastri Siddiqui Subramaniam Tagore Trivedi Varma Wickramasinghe
China, Taiwan, Malaysia | Bai Chen Fang Feng Gao Guo He Huang Jiang Lin Liang Luo Ma Pan Qian Shen Song Sun Tang Wei Xiao Xu Yang Zhao Zheng Zhou | Aiguo Baozhen Changming Chunhua Dawei Guoliang Haiyan Hongmei Jiahui Jianguo Jingyi Lanfang Lihua Meiling Minghao Peizhi Qingshan Ruolan Shaoqi Shuzhen Tianyi Wenjun Xiaoming Xueqin Yanling Yuzhi Zhenguo Zihan
Japan, Hawaii | Akiko Akira Ayumi Chiyo Daisuke Eiji Fumiko Haruki Hideo Hiroko Ichiro Isamu Jiro Kaoru Kazuo Keiko Kenji Makoto Masako Michiko Naoki Noriko Osamu Ryo Sachiko Shigeru Tadashi Tomoko Yasuo Yoshiko Yukio | Aoyama Arakawa Endo Fujimoto Fukuhara Hasegawa Hashiguchi Hayashida Hirano Igarashi Ishikawa Kawabata Kitagawa Kojima Kurosaki Matsuda Miyazawa Morimoto Nakagawa Nishimura Ogawa Okabe Sakuragi Shimizu Takemura Tanizaki Uchida Watanuki Yamamuro Yokoyama
South Korea | Bae Cha Cho Choi Gwon Han Hwang Im Jang Jeong Kang Kim Lee Moon Nam Noh Park Ryu Shin Yoon | Bo-young Chang-ho Dong-wook Eun-ji Ga-yeon Hae-won Hyun-woo In-sook Jae-min Ji-hye Joon-ho Kyung-sook Min-jun Mi-ran Sang-chul Seo-yeon Soo-jin Tae-sik Won-bin Young-ae
Vietnam | Bùi Đặng Đinh Đỗ Dương Hồ Hoàng Huỳnh Lê Lý Ngô Nguyễn Phạm Phan Trần Trịnh Võ Vũ | Anh_Tuấn Bảo_Châu Đức_Minh Hải_Yến Hữu_Nghĩa Khánh_Linh Lan_Hương Mai_Chi Ngọc_Ánh Phương_Thảo Quang_Vinh Thanh_Hà Thị_Hồng Trọng_Nhân Văn_Long Xuân_Diệu
Philippines, Indonesia, Malaysia | Amihan Bayani Budi Cahya Corazon Dewi Eko Hasnah Ismail Jejomar Kartini Ligaya Lualhati Made Maharani Nurul Putu Rizal Siti Sri Surya Teodoro Wahyu Yusof | Abdul_Rahim Alibasbas Batungbacal Bin_Hassan Catacutan Dimaculangan Hartono Hidayat Kusuma Lumbantobing Macaraeg Magsaysay Nasution Pangilinan Prawiro Rahardjo Setiawan Sihombing Suharsono Sutanto Tanjung Wibowo Widjaja Yamzon
Nigeria, Ghana, Kenya, Ethiopia, Senegal | Abebe Achieng Adaeze Akosua Alemayehu Amadou Ama Aminata Ayodele Chidi Chinwe Desta Efua Folake Funmilayo Ibrahima Kamau Kofi Kwabena Mamadou Mulugeta Ngozi Njeri Nyambura Obinna Ousmane Segun Tigist Wanjiru Yaw | Abiodun Achebe Adeyemi Agyeman Amoako Asante Bekele Boateng Chukwu Danquah Diallo Diouf Fashola Gebremariam Haile Ikenna Kamara Kariuki Kimani Mensah Mutua Ndiaye Nkrumah Nwosu Ochieng Odhiambo Ogunbanjo Okafor Oluwole Onyango Osei Sarr Tadesse Tesfaye Wanyama Woldemichael
"""

FAMILY_NAME_FIRST = ("China, Taiwan, Malaysia", "South Korea", "Vietnam")

OCCUPATIONS = """
painter, sculptor, composer, violinist, pianist, conductor, opera singer, poet, novelist, playwright, journalist, translator, critic, historian, philosopher, theologian, linguist, archaeologist, mathematician, physicist, chemist, astronomer, botanist, geologist, entomologist, surgeon, physician, psychiatrist, engineer, architect, cartographer, inventor, politician, diplomat, judge, lawyer, trade unionist, bishop, missionary, general, naval officer, explorer, banker, publisher, photographer, film director, actor, dancer, footballer, cricketer, cyclist, swimmer, wrestler, chess master, rower, fencer, jockey, sprinter, boxer, ceramist, engraver, librarian, economist, sociologist, meteorologist, instrument maker
"""

# {N} full name, {S} family name, {P} birth place, {D} date and {Y} year of birth, {E} date and {F} year of death,
# {V} is or was, {J} adjective and occupation with their article, {A} adjective, {O} occupation, {T} trade,
# {Q} another city, {R} a year of the working life, {G} an age, {B} a small number.
BORN = """
{N} was born in {P} on {D}.
{N} was born on {D} in {P}.
{N} was born at {P} in {Y}.
{S} was born in {P} in {Y}.
{S} was born on {D} in {P}.
{S} was born at {P} and brought up in {Q}.
{S} was born in {P}, the child of a {T}.
{S} was born in {P} to a family of {T}s.
Born in {P}, {S} began as a {T} and turned {O} at {G}.
Born in {P}, {S} {V} best known as {J}.
Born in {P} in {Y}, {S} moved to {Q} at the age of {G}.
Born at {P} on {D}, {S} learnt the trade of a {T}.
Born and raised in {P}, {S} joined a {O}s' circle in {Q}.
A native of {P}, {S} settled in {Q} in {R}.
A native of {P}, {N} trained as a {T} before becoming {J}.
{N}, a {T}'s child born in {P} in {Y}, became {J}.
{N} {V} {J} born in {P}.
{N}, born in {P}, {V} {J}.
By profession a {T}, {S} was born in {P} in {Y}.
{N} grew up in {P}, the town of birth, and left for {Q} in {R}.
{N} first saw the light in {P} on {D}.
The {O} {N} was born in {P}.
The future {O} was born in {P} on {D}.
"""

BORN_LIVING = """
{N} (born {D} in {P}) is {J}.
{N} (born {Y} in {P}) is {J}.
{N} (born in {P} in {Y}) is {J} now living in {Q}.
{N} (born {D}, {P}) is {J}.
{N} is {J} who was born in {P} and lives in {Q}.
{N} ({P}, {Y}) is {J}.
{N} comes from {P} and works as {J} in {Q}.
{N} hails from {P}, where the family keeps a shop.
"""

BORN_DEAD = """
{N} ({D} {P} – {E} {Q}) was {J}.
{N} ({D}, {P} – {E}) was {J}.
{N} (born {P}, {Y}; died {Q}, {F}) was {J}.
{N} (born {D} in {P}; died {E}) was {J}.
{N} (born in {P}, {D}, died {F} in {Q}) was {J}.
{N} was {J}, born in {P} in {Y}, who died in {Q} in {F}.
{S} was born in {P} in {Y} and died there in {F}.
Born in {P} in {Y}, {S} served as {J} until {F}.
{N} was born at {P} on {D} and died in {Q} on {E}.
"""

BORN_LATE = """
{N} (born {D}) {V} {J} known for a long series of works that were shown, read and argued over in {Q}, and came from {P}.
{N} {V} {J} whose early years, spent among {T}s and travellers, were retold in three books of memoirs; {S} was born in {P}.
{N}, {J} and later a teacher of the subject at the university of {Q}, where a hall bears the name, was born in {Y} in {P}.
After {G} years as a {T}, and with no schooling to speak of, {S} turned to the work of {J}, far from {P}, the place of birth.
Little is known of the first years of {N}, {J} of whom no early portrait survives, but parish books give {P} as the birth place.
"""

BORN_UNNAMED = """
{N} (born {D}) {V} {J}.
{N} (born in {Y}) {V} {J} who spent most of a long life in {Q}.
{N} {V} {J} and a former {T}.
{S} worked as a {T} in {Q} before becoming {J} in {R}.
{N} {V} {J} whose birth place no record names.
"""

MORE = """
{S} studied in {Q} and took a degree there in {R}.
The family moved to {Q} when {S} was {G}.
In {R} {S} settled in {Q} and opened a workshop.
{S} taught at the university of {Q} from {R}.
{S} won a national prize in {R}.
{S} wrote {B} books, the last of them in {R}.
Among {S}'s pupils were several well known {O}s.
In {R} {S} was elected to the academy in {Q}.
{S} married a {T} and had {B} children.
A street in {Q} is named after the {O}.
{S} was {B} times champion of the league.
Works by {S} are kept in museums in {Q} and elsewhere.
{S} left for {Q} in {R}, and did not return.
The letters of {S} were published in {R}.
{S} began at the age of {G}, taught by a {T}.
{S} served in the war and was twice decorated.
The earliest work that we know is dated {R}.
{S} founded a society of {O}s in {Q} in {R} and led it for {G} years, until ill health made the journeys too hard.
A biography appeared in {R}.
The {A} press called {S} the best {O} of the day.
In {R}, a {T} from {Q} found {B} notebooks that had been thought lost, in which {S} describes a voyage of {G} months by river and road.
{S} played for a club in {Q} from {R} on.
{S} is a fellow of two learned societies.
From {R} the {O} kept a studio in {Q}.
{S} retired in {R} and took up gardening.
"""

TRADES = """
baker, clockmaker, carpenter, schoolteacher, tailor, printer, lighthouse keeper, weaver, miller, bookseller, blacksmith, pharmacist, shoemaker, notary, sailor, gardener, stationmaster, grocer, miner, glassblower, potter, fishmonger, clerk, cooper, saddler, brewer
"""
